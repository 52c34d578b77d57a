package subscriber

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"waptsync/bus"
	"waptsync/objects"
)

// The journal in the stage names the renames that belong together. A crash
// between two of them is made up for when the share is opened next, before
// anything else is changed in it and without asking the main.
const (
	journalName  = "journal"
	journalBytes = 64 << 20 // at most; some 100,000 renames
)

// move is one rename from the stage.
type move struct {
	staged string
	inode  uint64 // of the staged file, so that another of its name is not taken for it
	size   int64
	path   string
}

// beginJournal notes, durably, what will be renamed.
func (s *stage) beginJournal(ops []*op) error {
	moves := make([]move, len(ops))
	for i, o := range ops {
		st, err := s.dir.lstat(o.staged)
		if err != nil {
			return err
		}
		moves[i] = move{staged: o.staged, inode: st.inode, size: st.size, path: o.event.Path}
	}
	f, err := s.dir.openStaged(journalName)
	if err != nil {
		return err
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(appendJournal(nil, moves), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = s.dir.sync()
	}
	synced := make(map[string]bool)
	for _, m := range moves {
		bay, _ := split(m.staged)
		if bay == "" || synced[bay] || err != nil {
			continue
		}
		synced[bay] = true
		err = s.syncBay(bay)
	}
	return err
}

func (s *stage) syncBay(name string) error {
	bay, err := s.dir.child(name)
	if err != nil {
		return err
	}
	defer bay.close()
	return bay.sync()
}

// endJournal removes the journal: what it names is durable. Should it come back
// after a power cut, it names no file of the stage any more.
func (s *stage) endJournal() { s.discard(journalName) }

func appendJournal(b []byte, moves []move) []byte {
	b = append(b, codecVersion)
	b = binary.AppendUvarint(b, uint64(len(moves)))
	for _, m := range moves {
		b = binary.AppendUvarint(b, uint64(len(m.staged)))
		b = append(b, m.staged...)
		b = binary.AppendUvarint(b, m.inode)
		b = binary.AppendVarint(b, m.size)
		b = binary.AppendUvarint(b, uint64(len(m.path)))
		b = append(b, m.path...)
	}
	sum := objects.Sum(b)
	return append(b, sum[:]...)
}

// decodeJournal returns what a journal names; one that was not written to its
// end is an error, and then nothing was renamed.
func decodeJournal(b []byte) ([]move, error) {
	n := len(b) - len(objects.ID{})
	if n < 0 || objects.Sum(b[:n]) != objects.ID(b[n:]) {
		return nil, fmt.Errorf("journal: %w", errState)
	}
	d := decoder{b: b[:n]}
	d.version()
	count := d.uvarint()
	var moves []move
	for ; count > 0 && !d.bad; count-- {
		m := move{staged: string(d.sized()), inode: d.uvarint(), size: d.varint()}
		m.path = string(d.sized())
		if !d.bad && bus.ValidPath(m.path) == nil && fs.ValidPath(m.staged) && strings.Count(m.staged, "/") <= 1 {
			moves = append(moves, m)
		}
	}
	if d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("journal: %w", errState)
	}
	return moves, nil
}

// recoverJournal does the renames that a crash cut off, and returns how many.
func recoverJournal(t *tree, dir *folder) (n int, err error) {
	f, err := dir.openFile(journalName)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("opening the journal: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, journalBytes))
	f.Close()
	if err != nil {
		return 0, fmt.Errorf("reading the journal: %w", err)
	}
	moves, err := decodeJournal(b)
	if err != nil {
		return 0, nil // the crash was before the first rename
	}
	v := t.visit()
	v.keep = true
	defer v.close()
	touched := make(map[string]*folder)
	for _, m := range moves {
		st, err := dir.lstat(m.staged)
		if err != nil || st.inode != m.inode || st.size != m.size {
			continue // it is in its place
		}
		to, base := split(m.path)
		folder, err := v.folder(to)
		if err != nil {
			continue // the event comes again
		}
		if dir.rename(m.staged, folder, base) == nil {
			touched[to] = folder
			n++
		}
	}
	for p, f := range touched {
		if err := f.sync(); err != nil {
			return n, fmt.Errorf("syncing the folder %q: %w", p, err)
		}
	}
	return n, nil
}

// recover makes up for a crash between two renames that belong together. It
// needs no connection; trouble is met again by the first session.
func (r *Replica) recover() {
	t, err := openTree(r.o.Dir)
	if err != nil {
		return
	}
	defer t.close()
	v := t.visit()
	defer v.close()
	dir, err := v.folder(hidden + "/" + stageName)
	if err != nil {
		return
	}
	if n, err := recoverJournal(t, dir); n > 0 || err != nil {
		r.log.Info().Err(err).Int("renames", n).Msg("finished what a crash had cut off")
	}
}
