package sample

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// Open goes on with the repository that Create made in root. Its hosts are known
// again; packages from before stay, but an index that is written from now on
// names new ones only, as on a server that lost its database.
func Open(root string) (*Repository, error) {
	now := time.Now()
	signer, err := newSigner(now)
	if err != nil {
		return nil, err
	}
	r := &Repository{root: root, rng: rand.New(rand.NewPCG(uint64(now.UnixNano()), 1)), signer: signer}
	entries, err := os.ReadDir(r.path("wapt-host"))
	if err != nil {
		return nil, fmt.Errorf("sample repository: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".wapt") {
			r.hosts = append(r.hosts, e.Name())
		}
	}
	return r, nil
}
