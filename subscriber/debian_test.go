package subscriber

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// debianRepo is an archive with the chain InRelease, Release → Packages → pool.
type debianRepo struct {
	m    *testMain
	rnd  *rand.Rand
	debs map[string][]byte // by path
	next int
}

const (
	dist = "dists/stable/"
	arch = "main/binary-amd64/"
)

var debianIndexes = []string{dist + "InRelease", dist + "Release", dist + arch + "Packages.gz", dist + arch + "Packages"}

// upload puts a package into the pool.
func (d *debianRepo) upload() string {
	d.next++
	p := sprint("pool/main/p%d/p%d_%d_amd64.deb", d.rnd.IntN(4), d.rnd.IntN(4), d.next)
	d.debs[p] = seeded(d.rnd.Uint64(), 100+d.rnd.IntN(50_000))
	d.m.put(p, d.debs[p])
	return p
}

// index writes the chain and publishes it, what is named before what names it.
func (d *debianRepo) index() {
	var text bytes.Buffer
	for _, p := range slices.Sorted(maps.Keys(d.debs)) {
		b := d.debs[p]
		text.WriteString(sprint("Package: x\nFilename: %s\nSize: %d\nMD5sum: %x\nSHA256: %x\n\n", p, len(b), md5.Sum(b), sha256.Sum256(b)))
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(text.Bytes())
	must(d.m.t, err)
	must(d.m.t, z.Close())
	release := sprint("Suite: stable\nDate: %d\nMD5Sum:\n", d.next)
	for name, b := range map[string][]byte{"Packages": text.Bytes(), "Packages.gz": packed.Bytes()} {
		release += sprint(" %x %d %s\n", md5.Sum(b), len(b), arch+name)
	}
	release += "SHA256:\n"
	for name, b := range map[string][]byte{"Packages": text.Bytes(), "Packages.gz": packed.Bytes(), "Packages.xz": nil} {
		release += sprint(" %x %d %s\n", sha256.Sum256(b), len(b), arch+name)
	}
	d.m.write(dist+arch+"Packages", text.Bytes())
	d.m.write(dist+arch+"Packages.gz", packed.Bytes())
	d.m.write(dist+"Release", []byte(release))
	d.m.write(dist+"InRelease", []byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"+release+"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"))
	for _, p := range []string{dist + arch + "Packages.gz", dist + arch + "Packages", dist + "Release", dist + "InRelease"} {
		d.m.publish(p)
	}
}

func TestClientsOfADebianArchiveFindTheChainWhole(t *testing.T) {
	rnd := newRandom(t)
	m := startMain(t)
	m.md5 = true
	d := &debianRepo{m: m, rnd: rnd, debs: make(map[string][]byte)}
	for range 6 {
		d.upload()
	}
	d.index()
	m.mark()
	r := newRemote(t, m, "colmar")
	r.parts = true
	k := &killer{dead: make(chan struct{})}
	r.prepare = func(r *Replica) { r.failpoint = k.at }
	r.start()
	r.reached()
	c := r.watch(debianIndexes...)
	k.c = c
	var old []string
	for i := range longRun(40) {
		k.arm(points[i%len(points)], rnd.IntN(3))
		old = append(old, slices.Sorted(maps.Keys(d.debs))[rnd.IntN(len(d.debs))])
		d.upload()
		delete(d.debs, old[len(old)-1])
		d.index()
		if len(old) > 3 { // an archive keeps old versions for a while
			m.remove(old[0])
			old = old[1:]
		}
		select {
		case <-k.dead:
			r.stop()
			k.arm("", 0)
			r.start()
			waitFor(t, 10*time.Second, r.recovered)
			c.up()
		case <-time.After(time.Duration(rnd.IntN(150)) * time.Millisecond):
		}
	}
	k.arm("", 0)
	r.reached()
	c.end()
	r.sameFiles()
}

// sameFiles is same where the folders' own events are not published.
func (r *testRemote) sameFiles() {
	r.t.Helper()
	for p := range snapshot(r.t, r.m.dir) {
		if fi, err := os.Stat(filepath.Join(r.m.dir, p)); err == nil && fi.IsDir() {
			r.m.publish(p)
		}
	}
	r.reached()
	r.same()
}
