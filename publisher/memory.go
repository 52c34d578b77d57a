package publisher

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// memory is what a publisher knows of a share from one start of the service to
// the next, beside the event stream. It lies in a small file of its own.
type memory struct {
	// Folder is the folder that was published last.
	Folder folderMemory `json:"folder"`
	// Hold is why an administrator holds the share, "" if none does.
	Hold string `json:"hold,omitempty"`
}

type folderMemory struct {
	Dir    string `json:"dir"`
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
}

func memoryOf(f *folder) folderMemory {
	return folderMemory{Dir: f.dir, Device: f.id.dev, Inode: f.id.inode}
}

const maxMemory = 64 << 10 // bytes; a reason to hold is a sentence

// recordsDir is where the published state is kept while the service runs, "" if
// only in memory.
func (p *Publisher) recordsDir() string {
	if p.o.StateFile == "" || p.inMemory.Load() {
		return ""
	}
	return filepath.Dir(p.o.StateFile)
}

// readMemory reads the file; none is an empty memory, and no file is no error.
func readMemory(file string) (memory, error) {
	var m memory
	if file == "" {
		return m, nil
	}
	fi, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil && fi.Size() > maxMemory {
		err = fmt.Errorf("%s has %d bytes", file, fi.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(file)
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return memory{}, fmt.Errorf("reading what is known of the share: %w", err)
	}
	return m, nil
}

// write replaces the file, so that after a crash the old or the new one is there.
func (m memory) write(file string) (err error) {
	if file == "" {
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("remembering the share's state: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("remembering the share's state: %w", err)
		}
	}()
	if _, err := f.Write(append(b, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	// Not every file system can sync a folder; the rename then is as durable as it gets.
	_ = d.Sync()
	return d.Close()
}

// change changes the memory and writes it. What cannot be written holds until
// the end of the process.
func (p *Publisher) change(fn func(*memory)) error {
	p.remembering.Lock()
	defer p.remembering.Unlock()
	p.mu.Lock()
	old := p.memory
	fn(&p.memory)
	now := p.memory
	p.mu.Unlock()
	if now == old {
		return nil
	}
	return now.write(p.o.StateFile)
}

func (p *Publisher) remembered() memory {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.memory
}

// another says how the folder is not the one that was published last, or "".
// That alone means little: a disk was moved, or a backup restored.
func (p *Publisher) another(f *folder) string { return p.remembered().Folder.another(memoryOf(f)) }

func (known folderMemory) another(now folderMemory) string {
	switch {
	case known == (folderMemory{}) || known == now:
		return ""
	case known.Dir != now.Dir:
		return "the share was at " + known.Dir
	case known.Device != now.Device:
		return "another file system is at " + now.Dir
	}
	return "another folder is at " + now.Dir
}
