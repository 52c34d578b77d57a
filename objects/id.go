package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// ID names an object, and a whole content, by the SHA-256 (FIPS 180-4) of its
// bytes. The zero ID stands for "none": no bytes are known that hash to it.
type ID [sha256.Size]byte

// ShortID is the begin of an ID: enough to tell the contents of one path apart,
// and no proof of anything.
type ShortID [8]byte

// Short returns the first bytes of id.
func (id ID) Short() ShortID { return ShortID(id[:]) }

// Sum returns the ID of b.
func Sum(b []byte) ID { return sha256.Sum256(b) }

// ParseID reads the 64 hexadecimal digits that [ID.String] writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != hex.EncodedLen(len(id)) {
		return ID{}, fmt.Errorf("object ID %q: want 64 hexadecimal digits", s)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("object ID %q: %w", s, err)
	}
	return id, nil
}

// String returns id in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero says whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText writes id in hexadecimal, so JSON shows what sha256sum prints.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of [ID.MarshalText].
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}
