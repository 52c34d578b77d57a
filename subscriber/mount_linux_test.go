package subscriber

import (
	"os"
	"os/exec"
	"testing"
)

// A part of the share that is no part of its file system can get no file by a rename
// or a link. A subvolume of btrfs is such a part, though no mount shows it.
func TestPartOnAnotherFileSystemIsReported(t *testing.T) {
	for name, separate := range map[string]func(t *testing.T, dir string){
		"mount": func(t *testing.T, dir string) {
			must(t, os.Mkdir(dir, 0o755))
			mountSmall(t, dir, "16m")
		},
		"subvolume": func(t *testing.T, dir string) {
			if out, err := exec.Command("btrfs", "subvolume", "create", dir).CombinedOutput(); err != nil {
				t.Skipf("%v: %s", err, out)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := startMain(t)
			m.write("part/small", random(3000))
			m.write("part/large", random(3_000_000))
			m.write("other", []byte("other"))
			m.publishAll() // the folder too, else it would be a stranger and go
			r := newRemote(t, m, "colmar")
			must(t, os.Mkdir(r.dir, 0o755))
			separate(t, r.path("part"))
			r.start()
			r.has("other", []byte("other"))
			r.problem("part/small", "cross-device")
			r.problem("part/large", "cross-device")
		})
	}
}
