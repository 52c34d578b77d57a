package sample

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Options says how large a repository to make.
type Options struct {
	Packages int    // software packages; at least 1
	Hosts    int    // host packages
	Payload  int    // bytes of an average package's payload; sizes spread from a quarter to four times of it
	Seed     uint64 // the same seed gives the same names and payloads
}

// Repository is a WAPT repository under a root: `wapt` and `wapt-host`.
// Its methods must not be called concurrently.
type Repository struct {
	root     string
	rng      *rand.Rand
	signer   *signer
	packages []*software
	hosts    []string
}

// Shares are the folders of a repository by the names that waptsync gives them.
func (r *Repository) Shares() map[string]string {
	return map[string]string{
		"wapt":      filepath.Join(r.root, "wapt"),
		"wapt-host": filepath.Join(r.root, "wapt-host"),
	}
}

// Create makes a repository in root, which must be empty or not there yet.
func Create(root string, o Options) (*Repository, error) {
	if o.Packages < 1 || o.Hosts < 0 || o.Payload < 0 {
		return nil, fmt.Errorf("sample repository of %d packages, %d hosts, %d bytes: not possible", o.Packages, o.Hosts, o.Payload)
	}
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("sample repository: %s is not empty", root)
	}
	now := time.Now()
	signer, err := newSigner(now)
	if err != nil {
		return nil, err
	}
	r := &Repository{root: root, rng: rand.New(rand.NewPCG(o.Seed, 1)), signer: signer}
	for _, dir := range []string{r.path("wapt", "icons"), r.path("wapt-host")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	for i := range o.Packages {
		size := float64(o.Payload) * spread(r.rng)
		if _, err := r.addPackage(fmt.Sprintf("sample-app%02d", i), int(size), now); err != nil {
			return nil, err
		}
	}
	if err := r.writeIndex(now); err != nil {
		return nil, err
	}
	for range o.Hosts {
		if _, err := r.AddHost(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// AddPackage uploads a package that was not there before; payload in bytes.
func (r *Repository) AddPackage(name string, payload int) (file string, err error) {
	now := time.Now()
	p, err := r.addPackage(name, payload, now)
	if err != nil {
		return "", err
	}
	return p.file, r.writeIndex(now)
}

func (r *Repository) addPackage(name string, payload int, now time.Time) (*software, error) {
	image, sum, err := icon(r.rng)
	if err != nil {
		return nil, err
	}
	p := &software{name: name, payload: randomBytes(r.rng, payload), icon: image, iconSum: sum, uploaded: now}
	data, err := p.build(r.signer, r.rng)
	if err != nil {
		return nil, err
	}
	if err := r.receive("wapt", p.file, data); err != nil {
		return nil, err
	}
	// The server writes icons in place, once.
	if err := os.WriteFile(r.path("wapt", "icons", p.iconSum+".png"), p.icon, 0o644); err != nil {
		return nil, err
	}
	r.packages = append(r.packages, p)
	return p, nil
}

// Upgrade uploads the next version of a package picked at random, rebuilds the
// index, then removes the old version and rebuilds it again.
func (r *Repository) Upgrade() (file string, err error) {
	p := r.packages[r.rng.IntN(len(r.packages))]
	old := *p
	now := time.Now()
	p.uploaded = now
	p.upgrade(r.rng)
	data, err := p.build(r.signer, r.rng)
	if err != nil {
		return "", err
	}
	if err := r.receive("wapt", p.file, data); err != nil {
		return "", err
	}
	r.packages = append(r.packages, &old)
	if err := r.writeIndex(now); err != nil {
		return "", err
	}
	return p.file, r.remove(len(r.packages) - 1)
}

// Delete removes a package picked at random. It leaves the last one.
func (r *Repository) Delete() (file string, err error) {
	if len(r.packages) == 1 {
		return "", errors.New("sample repository: the last package stays")
	}
	i := r.rng.IntN(len(r.packages))
	file = r.packages[i].file
	return file, r.remove(i)
}

// remove unlinks the file first and rebuilds the index after, as the WAPT
// Server does: for that time its own index names a missing file.
func (r *Repository) remove(i int) error {
	if err := os.Remove(r.path("wapt", r.packages[i].file)); err != nil {
		return err
	}
	r.packages = slices.Delete(r.packages, i, i+1)
	return r.writeIndex(time.Now())
}

// AddHost adds the package of a new host.
func (r *Repository) AddHost() (file string, err error) {
	var id uuid.UUID
	copy(id[:], randomBytes(r.rng, len(id)))
	file = id.String() + ".wapt"
	if err := r.writeHost(file); err != nil {
		return "", err
	}
	r.hosts = append(r.hosts, file)
	return file, nil
}

// EditHost writes the package of a host anew, under its old name.
func (r *Repository) EditHost() (file string, err error) {
	if len(r.hosts) == 0 {
		return r.AddHost()
	}
	file = r.hosts[r.rng.IntN(len(r.hosts))]
	return file, r.writeHost(file)
}

func (r *Repository) writeHost(file string) error {
	var depends []string
	for _, p := range r.packages {
		if r.rng.IntN(2) == 0 {
			depends = append(depends, p.name)
		}
	}
	data, err := hostPackage(r.signer, r.rng, time.Now(), file[:len(file)-len(".wapt")], depends)
	if err != nil {
		return err
	}
	return r.receive("wapt-host", file, data)
}

func (r *Repository) path(elem ...string) string {
	return filepath.Join(append([]string{r.root}, elem...)...)
}

// spread is a factor from 1/4 to 4, small ones as likely as large ones.
func spread(rng *rand.Rand) float64 {
	f := 1 + 3*rng.Float64()
	if rng.IntN(2) == 0 {
		return 1 / f
	}
	return f
}
