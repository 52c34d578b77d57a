package console

import (
	"bytes"
	"encoding/json"
	"sync"
)

// maxGone bounds what is remembered of parts that are no more; who is behind by
// more gets everything anew.
const maxGone = 4096

// board holds the state in named parts, each with the version at which it last
// changed. So each browser gets what changed since it last got something: a slow
// one misses steps between and never makes anybody store them. Its methods may
// be called concurrently.
type board struct {
	mu      sync.Mutex
	version uint64
	parts   map[string]part
	gone    map[string]uint64 // versions at which parts vanished
	floor   uint64            // what vanished up to here is forgotten
	changed chan struct{}     // closed at the next change
	looking int

	points  uint64 // how many there were
	point   json.RawMessage
	history json.RawMessage
}

type part struct {
	raw     json.RawMessage
	version uint64
}

func newBoard() *board {
	return &board{
		parts: make(map[string]part), gone: make(map[string]uint64), changed: make(chan struct{}),
		history: json.RawMessage("{}"),
	}
}

// update is what a browser gets. With All, what it does not name is no more.
type update struct {
	All  bool                       `json:"all,omitempty"`
	Set  map[string]json.RawMessage `json:"set,omitempty"`
	Gone []string                   `json:"gone,omitempty"`
}

func (u *update) empty() bool { return !u.All && len(u.Set) == 0 && len(u.Gone) == 0 }

// put replaces all parts. A lone "trouble" leaves the others as they are.
func (b *board) put(parts map[string]any) {
	raw := make(map[string]json.RawMessage, len(parts))
	for name, v := range parts {
		// Types of this package, which always encode.
		raw[name], _ = json.Marshal(v)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next, changed := b.version+1, false
	for name, r := range raw {
		if have, ok := b.parts[name]; ok && bytes.Equal(have.raw, r) {
			continue
		}
		b.parts[name] = part{r, next}
		delete(b.gone, name)
		changed = true
	}
	if _, whole := raw["head"]; whole {
		for name := range b.parts {
			if _, ok := raw[name]; !ok {
				delete(b.parts, name)
				b.gone[name] = next
				changed = true
			}
		}
	}
	if len(b.gone) > maxGone {
		clear(b.gone)
		b.floor = next
	}
	if changed {
		b.version = next
		b.tell()
	}
}

// addPoint appends a step of the history, which then is all.
func (b *board) addPoint(point map[string]float32, all map[string][]float32) {
	p, _ := json.Marshal(point)
	h, _ := json.Marshal(all)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.points++
	b.point, b.history = p, h
	b.tell()
}

// tell wakes who waits; b.mu must be held.
func (b *board) tell() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// seen is how far a browser is; the zero value has seen nothing.
type seen struct {
	version uint64
	points  uint64
	begun   bool
}

// since returns what changed since then: an update, a point or the whole
// history (nil when there is nothing new), and what is closed at the next change.
func (b *board) since(at *seen) (u update, point, history json.RawMessage, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u.All = !at.begun || at.version < b.floor
	u.Set = make(map[string]json.RawMessage)
	for name, p := range b.parts {
		if u.All || p.version > at.version {
			u.Set[name] = p.raw
		}
	}
	for name, v := range b.gone {
		if !u.All && v > at.version {
			u.Gone = append(u.Gone, name)
		}
	}
	switch {
	case !at.begun || b.points > at.points+1:
		history = b.history
	case b.points == at.points+1:
		point = b.point
	}
	*at = seen{b.version, b.points, true}
	return u, point, history, b.changed
}

func (b *board) watch(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looking += n
}

func (b *board) watchers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.looking
}
