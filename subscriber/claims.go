package subscriber

import (
	"sync"

	"waptsync/objects"
)

// claims sees to it that a content which several paths want travels once: the
// first item brings it, and the others look again when it is on disk.
type claims struct {
	mu sync.Mutex
	by map[objects.ID]*bringing
}

// bringing is a content on its way, and who wants it.
type bringing struct {
	leader    *item
	followers []*item
}

// take returns false when another item brings the content; it is then kept
// until that one is through.
func (c *claims) take(digest objects.ID, it *item) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := c.by[digest]
	if cl == nil {
		c.by[digest] = &bringing{leader: it}
		return true
	}
	if cl.leader == it {
		return true
	}
	cl.followers = append(cl.followers, it)
	return false
}

// release ends what it claimed and returns the items that waited for it.
func (c *claims) release(digest objects.ID, it *item) []*item {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := c.by[digest]
	if cl == nil || cl.leader != it {
		return nil
	}
	delete(c.by, digest)
	return cl.followers
}

// taken says whether an item brings the content.
func (c *claims) taken(digest objects.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[digest] != nil
}
