// Package subscriber keeps a folder equal to a share of the main: it takes the
// share's events from the bus and makes them true on disk.
//
// It promises that a file of the folder is whole or not there, that what was
// acknowledged is on disk, that a restart costs what changed meanwhile and not
// what was there before, that nothing which the main does not know is deleted
// outright, and that one broken path stops no other.
//
// One goroutine a share decides: the committer. Whatever changes the folder's
// visible part or the state happens under its lock, with a fresh lstat of what
// lies there; everything else (examining, fetching, walking) prepares or
// suspects only. The way of an event:
//
//	feed → window → examine ─┬─ already true ──────────────────────────┐
//	                         ├─ hasher: adopt or copy from own disk ─┐ │
//	                         ├─ packer: many small files a request ──┼─┼→ committer → state → ack
//	                         └─ bringer: the missing objects ────────┘ │
//	waiting (durable) → retrier ─────────────────────────┘
//
// The window holds the events that are not resolved yet, newest of each path
// only. The committer takes all that is ready at once, so while one batch is
// made durable the next one gathers: a lone file is visible in the time of two
// syncs, and ten thousand cost hardly more.
//
// A [Line] stands between all shares and the bus: what is asked for waits there
// until the rules of bandwidth let it.
//
// It knows bus, objects and bandwidth, and nothing of the main's folder but its events.
package subscriber
