package bus

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A full XFS makes no file, and the server starts all the same.
func TestStartsOnAFullXFS(t *testing.T) {
	o := smallDisk(t, 1)
	disk, file := filepath.Dir(o.Dir), filepath.Join(t.TempDir(), "xfs")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 300<<20); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"mkfs.xfs", "-q", file}, {"mount", "-o", "loop", file, disk}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v: %s", c, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "--lazy", disk).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	s := startServer(t, o)
	s.LayUpSpare()
	s.Close()
	defer fillDisk(t, o.Dir)()
	if f, err := os.CreateTemp(o.Dir, ""); err == nil {
		t.Skipf("it is not full: %v", os.Remove(f.Name()))
	}
	for range 2 {
		s = startServer(t, o)
		s.LayUpSpare()
		s.Close()
	}
}
