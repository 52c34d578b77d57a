package publisher

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"waptsync/boltfile"
	"waptsync/objects"
)

// manifestMemory bounds the bytes of encoded manifests kept in memory.
const manifestMemory = 8 << 20

// manifestCache keeps the encoded manifests asked for last, before a store. Its
// methods may be called concurrently.
type manifestCache struct {
	store ManifestStore

	mu    sync.Mutex
	order *list.List // of *cachedManifest, newest first
	byID  map[objects.ID]*list.Element
	bytes int
}

type cachedManifest struct {
	id      objects.ID
	encoded []byte
}

func newManifestCache(store ManifestStore) *manifestCache {
	return &manifestCache{store: store, order: list.New(), byID: make(map[objects.ID]*list.Element)}
}

// get returns an encoded manifest that hashes to id. It must not be changed.
func (c *manifestCache) get(id objects.ID) ([]byte, bool) {
	c.mu.Lock()
	if e, ok := c.byID[id]; ok {
		c.order.MoveToFront(e)
		c.mu.Unlock()
		return e.Value.(*cachedManifest).encoded, true
	}
	c.mu.Unlock()
	if c.store == nil {
		return nil, false
	}
	encoded, ok := c.store.Get(id)
	if !ok || objects.Sum(encoded) != id {
		return nil, false
	}
	c.remember(id, encoded)
	return encoded, true
}

func (c *manifestCache) put(id objects.ID, encoded []byte) {
	c.remember(id, encoded)
	if c.store != nil {
		c.store.Put(id, encoded)
	}
}

func (c *manifestCache) remember(id objects.ID, encoded []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byID[id]; ok || len(encoded) > manifestMemory/2 {
		return
	}
	c.byID[id] = c.order.PushFront(&cachedManifest{id, encoded})
	c.bytes += len(encoded)
	for c.bytes > manifestMemory {
		last := c.order.Remove(c.order.Back()).(*cachedManifest)
		delete(c.byID, last.id)
		c.bytes -= len(last.encoded)
	}
}

// Manifests are stored together, after manifestPause at the latest, or when they
// are manifestUnstored bytes.
const (
	manifestPause    = time.Second
	manifestUnstored = 4 << 20
)

// BoltManifests is a [ManifestStore] in a bbolt file. What was put last is kept in
// memory for a moment, so that one sync does for many: a kill may lose that, which
// costs a later read of the files, as does a file that the disk damaged.
type BoltManifests struct {
	db *boltfile.File

	flushing sync.Mutex // one at a time

	mu       sync.Mutex
	unstored map[objects.ID][]byte
	storing  map[objects.ID][]byte // what a flush is storing
	bytes    int                   // of unstored
	timer    *time.Timer           // nil when none runs
}

var manifestBucket = []byte("manifests")

// OpenManifests opens the store in file, or makes it; one that the disk damaged is
// moved aside.
func OpenManifests(file string) (*BoltManifests, error) {
	db, err := openManifests(file)
	if errors.Is(err, boltfile.ErrDamaged) {
		db, err = openManifests(file)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the manifest store %s: %w", file, err)
	}
	return &BoltManifests{db: db}, nil
}

func openManifests(file string) (*boltfile.File, error) {
	// With the list of free pages in the file, bbolt reads the others by need.
	db, err := boltfile.Open(file, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, Timeout: 5 * time.Second})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(manifestBucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Get returns what Put stored. The caller checks it against id.
func (m *BoltManifests) Get(id objects.ID) (encoded []byte, ok bool) {
	m.mu.Lock()
	if encoded, ok = m.unstored[id]; !ok {
		encoded, ok = m.storing[id]
	}
	m.mu.Unlock()
	if ok {
		return encoded, true
	}
	err := m.db.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket(manifestBucket).Get(id[:]); v != nil {
			encoded, ok = append([]byte(nil), v...), true
		}
		return nil
	})
	return encoded, ok && err == nil
}

// Put stores an encoded manifest, which is not changed any more.
func (m *BoltManifests) Put(id objects.ID, encoded []byte) {
	m.mu.Lock()
	if m.unstored == nil {
		m.unstored = make(map[objects.ID][]byte)
	}
	m.bytes += len(encoded) - len(m.unstored[id])
	m.unstored[id] = encoded
	full := m.bytes >= manifestUnstored
	if m.timer == nil && !full {
		m.timer = time.AfterFunc(manifestPause, m.flush)
	}
	m.mu.Unlock()
	if full {
		m.flush()
	}
}

// flush stores what was put; a failure costs a later read of its files.
func (m *BoltManifests) flush() {
	m.flushing.Lock()
	defer m.flushing.Unlock()
	m.mu.Lock()
	storing := m.unstored
	m.storing, m.unstored, m.bytes = storing, nil, 0
	if m.timer != nil {
		m.timer.Stop()
		m.timer = nil
	}
	m.mu.Unlock()
	if len(storing) == 0 {
		return
	}
	_ = m.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(manifestBucket)
		for id, encoded := range storing {
			if err := bucket.Put(id[:], encoded); err != nil {
				return err
			}
		}
		return nil
	})
	m.mu.Lock()
	m.storing = nil
	m.mu.Unlock()
}

// Prune forgets the manifests that keep does not want.
func (m *BoltManifests) Prune(keep func(objects.ID) bool) error {
	m.flush()
	return m.db.Update(func(tx *bbolt.Tx) error {
		c := tx.Bucket(manifestBucket).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if len(k) == len(objects.ID{}) && keep(objects.ID(k)) {
				continue
			}
			if err := c.Delete(); err != nil {
				return fmt.Errorf("forgetting a manifest: %w", err)
			}
		}
		return nil
	})
}

// Close stores what was put last, and closes the file.
func (m *BoltManifests) Close() error {
	m.flush()
	return m.db.Close()
}
