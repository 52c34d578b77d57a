package subscriber

import (
	"crypto/rand"
	"fmt"
	"os"
	"testing"
	"time"
)

// A state whose pages the disk damages beneath a running remote ends that, and the
// next one compares the folder with the main and fetches nothing again.
func TestADamagedStateIsBegunAnew(t *testing.T) {
	m := startMain(t)
	for i := range 300 {
		m.put(fmt.Sprintf("host%03d.wapt", i), random(3000))
	}
	r := newRemote(t, m, "colmar")
	r.start()
	r.reached()
	f, err := os.OpenFile(r.state, os.O_WRONLY, 0)
	must(t, err)
	fi, err := f.Stat()
	must(t, err)
	noise := make([]byte, fi.Size()-2*int64(os.Getpagesize()))
	rand.Read(noise)
	_, err = f.WriteAt(noise, 2*int64(os.Getpagesize()))
	must(t, err)
	must(t, f.Close())
	m.put("another.wapt", random(3000))
	select {
	case <-r.st.Damaged():
	case <-time.After(time.Minute):
		t.Fatal("the damage is not found")
	}
	r.restart()
	r.reached()
	r.same()
	if _, err := os.Stat(r.state + ".damaged"); err != nil {
		t.Error(err)
	}
	if n := r.r.Report().Received; n > 3000 {
		t.Errorf("%d bytes were fetched for one file of 3,000", n)
	}
}
