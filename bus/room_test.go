package bus

import (
	"os"
	"path/filepath"
	"testing"
)

// The server deletes the files of streams in the background.
func TestRoomIsFoundWhileFilesGo(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "stays"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		stream := filepath.Join(dir, "streams", "msgs", "of", "one")
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.MkdirAll(stream, 0o700)
			_ = os.WriteFile(filepath.Join(stream, "1.blk"), nil, 0o600)
			_ = os.RemoveAll(filepath.Join(dir, "streams"))
		}
	}()
	defer func() { close(stop); <-stopped }()
	for range 500 {
		if _, used, err := roomOf(dir); err != nil || used != 1000 {
			t.Fatalf("%d bytes, %v", used, err)
		}
	}
}
