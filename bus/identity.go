package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const identityFile = "identity.seed"

// Identity is a remote's own NKey pair. The seed never leaves its file.
type Identity struct {
	id  string
	key nkeys.KeyPair
}

// LoadIdentity reads the identity from dir, or makes it there at the first start (mode 0600).
func LoadIdentity(dir string) (*Identity, error) {
	path := filepath.Join(dir, identityFile)
	seed, err := readPrivate(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeIdentity(dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	key, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return nil, fmt.Errorf("identity: %s: %w", path, err)
	}
	return newIdentity(key)
}

func makeIdentity(dir, path string) (*Identity, error) {
	if err := makePrivateDir(dir); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	key, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	seed, err := key.Seed()
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if err := WriteDurably(path, append(seed, '\n')); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return newIdentity(key)
}

// newIdentity refuses pairs that are not a user's: the server takes no others.
func newIdentity(key nkeys.KeyPair) (*Identity, error) {
	id, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if !nkeys.IsValidPublicUserKey(id) {
		return nil, fmt.Errorf("identity: %s is not the key of a user (U…)", id)
	}
	return &Identity{id: id, key: key}, nil
}

// ID is the public NKey, U….
func (i *Identity) ID() string { return i.id }

// nkeyOption lets a connection prove the identity to the server.
func (i *Identity) nkeyOption() (nats.Option, error) { return nkeyOption(i.key) }

func (i *Identity) sign(b []byte) ([]byte, error) { return i.key.Sign(b) }

func nkeyOption(key nkeys.KeyPair) (nats.Option, error) {
	public, err := key.PublicKey()
	if err != nil {
		return nil, err
	}
	return nats.Nkey(public, key.Sign), nil
}
