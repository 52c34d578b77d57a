package main

// Modules that packages under construction need: they keep go.mod stable until
// the importing package is there.
import (
	_ "github.com/fsnotify/fsnotify"
	_ "github.com/nats-io/nats-server/v2/server"
	_ "github.com/nats-io/nats.go/micro"
	_ "github.com/nats-io/nkeys"
	_ "github.com/synadia-io/orbit.go/jetstreamext"
	_ "go.etcd.io/bbolt"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sync/semaphore"
	_ "golang.org/x/time/rate"
)
