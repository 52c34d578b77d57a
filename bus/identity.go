package bus

import "errors"

// Identity is a remote's own NKey pair. The seed never leaves its file.
type Identity struct{}

// LoadIdentity reads the identity from dir, or makes it there at the first start (mode 0600).
func LoadIdentity(dir string) (*Identity, error) { return nil, errors.New("not built") }

// ID is the public NKey, U….
func (i *Identity) ID() string { return "" }
