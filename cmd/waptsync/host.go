package main

import (
	"context"
	"net/http"

	"github.com/rs/zerolog"
)

// host is a running service with its data folder and its control socket.
type host[S interface{ Close() }] struct {
	service S
	data    *dataDir
	control *controlServer
}

// openMain starts a main as c says; its Run then publishes.
func openMain(ctx context.Context, c *PublishConfig, version string, log zerolog.Logger) (*host[*publishService], error) {
	return openHost(c.Data, log, func(data *dataDir) (*publishService, error) {
		return startPublish(ctx, c, data, version, log)
	}, mainHandler)
}

// openRemote starts a remote as c says; its Run then replicates.
func openRemote(ctx context.Context, c *SubscribeConfig, version string, log zerolog.Logger) (*host[*subscribeService], error) {
	return openHost(c.Data, log, func(data *dataDir) (*subscribeService, error) {
		return startSubscribe(ctx, c, data, version, log)
	}, remoteHandler)
}

func openHost[S interface{ Close() }](path string, log zerolog.Logger, start func(*dataDir) (S, error), handler func(S) http.Handler) (*host[S], error) {
	data, err := openData(path)
	if err != nil {
		return nil, err
	}
	s, err := start(data)
	if err != nil {
		data.Close()
		return nil, err
	}
	control, err := serveControl(data, handler(s), log)
	if err != nil {
		s.Close()
		data.Close()
		return nil, err
	}
	return &host[S]{s, data, control}, nil
}

// Close ends everything in order. The service's Run must have returned.
func (h *host[S]) Close() {
	h.control.Close()
	h.service.Close()
	h.data.Close()
}
