package subscriber

import (
	"hash/maphash"
	"sync"
)

// pathSet remembers paths by 64 bits of a seeded hash: some 20 bytes a path
// instead of the path. Two of 10^6 paths collide with a chance of 3·10^-8, and
// then a file that the main does not have stays until the next reconcile. Its
// methods may be called concurrently.
type pathSet struct {
	seed maphash.Seed
	mu   sync.Mutex
	has  map[uint64]struct{}
}

func newPathSet() *pathSet {
	return &pathSet{seed: maphash.MakeSeed(), has: make(map[uint64]struct{})}
}

func (p *pathSet) add(path string) {
	h := maphash.String(p.seed, path)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.has[h] = struct{}{}
}

func (p *pathSet) contains(path string) bool {
	h := maphash.String(p.seed, path)
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.has[h]
	return ok
}
