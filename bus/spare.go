package bus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
)

// The spare is a file that is given up for a start on a full disk. The server makes
// a file when it starts, and does not start where it cannot; the control socket needs
// one too. XFS has no places for files set aside, as ext4 has: on a full disk it makes
// none.
const (
	spareName  = "spare"
	spareBytes = 1 << 20
)

// useSpare gives the spare up if no file can be made in the store.
func (s *Server) useSpare() error {
	f, err := os.CreateTemp(filepath.Join(s.dir, server.JetStreamStoreDir), "_room_")
	if err == nil {
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("making a file in the store: %w", err)
	}
	// Emptied first: XFS frees the space of a removed file some time later.
	spare := filepath.Join(s.dir, spareName)
	if err := os.Truncate(spare, 0); err != nil {
		return fmt.Errorf("making room for the start: %w", err)
	}
	s.log.Warn().Str("dir", s.dir).Msg("the store's disk is full: starting with the room that was spared for it")
	return nil
}

// LayUpSpare makes the spare as large as it shall be, or as there is room. It belongs
// after all else that a start needs a file for, and before events are appended, which
// would take the room.
func (s *Server) LayUpSpare() {
	f, err := os.OpenFile(filepath.Join(s.dir, spareName), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() >= spareBytes {
		return
	}
	step := make([]byte, 16<<10)
	for at := fi.Size(); at < spareBytes && err == nil; at += int64(len(step)) {
		_, err = f.WriteAt(step, at) // zeros: a hole would take no room
	}
	_ = f.Sync() // what does not fit now does at another start
}
