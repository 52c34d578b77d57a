package subscriber

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"waptsync/boltfile"
	"waptsync/objects"
)

// State is what a remote knows of its shares across restarts: one file for all
// of them. Losing it costs a re-hash of what is on disk, never a wrong tree. So one
// that the disk damaged is moved aside, to a name that ends in ".damaged".
type State struct{ db *boltfile.File }

// OpenState opens the state file, or makes it (mode 0600). It fails when another
// process has it open for longer than a few seconds.
func OpenState(path string) (*State, error) {
	db, err := boltfile.Open(path, 0o600, &bbolt.Options{
		Timeout:      5 * time.Second, // a predecessor that is just stopping
		FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, fmt.Errorf("opening state %q: %w", path, err)
	}
	return &State{db: db}, nil
}

// Close waits for transactions and closes the file.
func (s *State) Close() error { return s.db.Close() }

// Replaced is why the state that was there was moved aside when this was opened, or
// nil.
func (s *State) Replaced() error { return s.db.Replaced() }

// Damaged is closed when the state turns out to be damaged. Nothing can be recorded
// any more then; the next OpenState begins a new one.
func (s *State) Damaged() <-chan struct{} { return s.db.Damaged() }

// A share's buckets.
var (
	bucketMeta      = []byte("meta")
	bucketFiles     = []byte("files")     // path → record
	bucketWaiting   = []byte("waiting")   // path → waiting
	bucketDue       = []byte("due")       // time, sequence, path → nothing: the order of retries
	bucketManifests = []byte("manifests") // manifest ID → uses, encoding
	bucketContents  = []byte("contents")  // digest → a path that holds it
	bucketGrace     = []byte("grace")     // path → when the last index that named it went
	bucketShown     = []byte("shown")     // path → seconds that its former contents were shown with
)

// Keys of the meta bucket.
var (
	keyProgress = []byte("progress")
	keyFolder   = []byte("folder")
	keyTotals   = []byte("totals")
)

// shareState is one share's part of the state.
type shareState struct {
	db   *boltfile.File
	name []byte
}

func (s *State) share(name string) (*shareState, error) {
	sh := &shareState{db: s.db, name: []byte("share/" + name)}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		root, err := tx.CreateBucketIfNotExists(sh.name)
		if err != nil {
			return err
		}
		for _, b := range [][]byte{bucketMeta, bucketFiles, bucketWaiting, bucketDue, bucketManifests, bucketContents, bucketGrace, bucketShown} {
			if _, err := root.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("preparing state of share %q: %w", name, err)
	}
	return sh, nil
}

// stateTx is one transaction on a share's state. Its buckets are opened when they
// are first asked for: most look into one of them.
type stateTx struct {
	root *bbolt.Bucket
	open [8]*bbolt.Bucket

	// By how much the totals change; written when the transaction ends.
	moreFiles, moreBytes int64
}

func (t *stateTx) bucket(i int, name []byte) *bbolt.Bucket {
	if t.open[i] == nil {
		t.open[i] = t.root.Bucket(name)
	}
	return t.open[i]
}

func (t *stateTx) meta() *bbolt.Bucket      { return t.bucket(0, bucketMeta) }
func (t *stateTx) files() *bbolt.Bucket     { return t.bucket(1, bucketFiles) }
func (t *stateTx) waits() *bbolt.Bucket     { return t.bucket(2, bucketWaiting) }
func (t *stateTx) due() *bbolt.Bucket       { return t.bucket(3, bucketDue) }
func (t *stateTx) manifests() *bbolt.Bucket { return t.bucket(4, bucketManifests) }
func (t *stateTx) contents() *bbolt.Bucket  { return t.bucket(5, bucketContents) }
func (t *stateTx) grace() *bbolt.Bucket     { return t.bucket(6, bucketGrace) }
func (t *stateTx) shown() *bbolt.Bucket     { return t.bucket(7, bucketShown) }

func (s *shareState) tx(tx *bbolt.Tx) *stateTx { return &stateTx{root: tx.Bucket(s.name)} }

// view runs fn on a snapshot. It must be short: a snapshot keeps pages alive.
func (s *shareState) view(fn func(tx *stateTx) error) error {
	return s.db.View(func(tx *bbolt.Tx) error { return fn(s.tx(tx)) })
}

// update runs fn and makes what it did durable, all or nothing. It must not be
// called within view.
func (s *shareState) update(fn func(tx *stateTx) error) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		t := s.tx(tx)
		if err := fn(t); err != nil {
			return err
		}
		return t.putTotals()
	})
}

// put encodes with fn into a buffer of its own, since bbolt keeps values until
// the transaction ends.
func put(b *bbolt.Bucket, key []byte, fn func(b []byte) ([]byte, error)) error {
	v, err := fn(nil)
	if err != nil {
		return err
	}
	return b.Put(key, v)
}

// progress returns how far the share is; a missing or damaged value is a share
// that was never followed.
func (t *stateTx) progress() progress {
	p, err := decodeProgress(t.meta().Get(keyProgress))
	if err != nil {
		return progress{}
	}
	return p
}

func (t *stateTx) setProgress(p progress) error {
	return t.meta().Put(keyProgress, p.append(nil))
}

// identity returns what is known of the share's folder.
func (t *stateTx) identity() (identity, bool) {
	i, err := decodeIdentity(t.meta().Get(keyFolder))
	return i, err == nil
}

func (t *stateTx) setIdentity(i identity) error {
	return t.meta().Put(keyFolder, i.append(nil))
}

// totals returns the number of files and their bytes.
func (t *stateTx) totals() (files, bytes int64) {
	v := t.meta().Get(keyTotals)
	if len(v) != 16 {
		return t.moreFiles, t.moreBytes
	}
	return t.moreFiles + int64(binary.LittleEndian.Uint64(v)), t.moreBytes + int64(binary.LittleEndian.Uint64(v[8:]))
}

func (t *stateTx) addTotals(files, bytes int64) {
	t.moreFiles += files
	t.moreBytes += bytes
}

func (t *stateTx) putTotals() error {
	if t.moreFiles == 0 && t.moreBytes == 0 {
		return nil
	}
	f, b := t.totals()
	v := binary.LittleEndian.AppendUint64(nil, uint64(f))
	return t.meta().Put(keyTotals, binary.LittleEndian.AppendUint64(v, uint64(b)))
}

// manifest returns the encoding of a manifest that a recorded file uses, or nil.
// It is valid during the transaction.
func (t *stateTx) manifest(id objects.ID) []byte {
	v := t.manifests().Get(id[:])
	_, n := binary.Uvarint(v)
	if n <= 0 {
		return nil
	}
	return v[n:]
}

// useManifest counts a use of id by delta; encoding is stored with the first
// one and may be nil otherwise. The last use takes it away.
func (t *stateTx) useManifest(id objects.ID, delta int64, encoding []byte) error {
	v := t.manifests().Get(id[:])
	uses, n := binary.Uvarint(v)
	if n > 0 {
		encoding = v[n:]
	}
	if len(encoding) == 0 {
		return nil // not known, and need not be: the file can be cut again
	}
	left := int64(uses) + delta
	if left <= 0 {
		return t.manifests().Delete(id[:])
	}
	value := binary.AppendUvarint(make([]byte, 0, len(encoding)+2), uint64(left))
	return t.manifests().Put(id[:], append(value, encoding...))
}
