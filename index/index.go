package index

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/ulikunitz/xz"
)

// Bounds of what is read. Debian's main archive has about 70,000 packages in
// 60 MB of text; a WAPT repository some thousands in a few MB.
const (
	MaxEntries   = 2 << 20
	maxText      = 1 << 30 // bytes of text after decompression
	maxLine      = 1 << 20
	maxPathBytes = 4096
)

// Entry is one file that an index names.
type Entry struct {
	Path      string // relative to the share
	Size      int64
	MD5       [md5.Size]byte
	SHA256    [sha256.Size]byte
	HasMD5    bool
	HasSHA256 bool
	// Optional: the index may name it without its being there. Debian's
	// Release lists variants of an index that an archive need not carry.
	Optional bool
}

// ErrUnknown is returned for bytes that are no index of a known format.
var ErrUnknown = errors.New("no known index format")

// Read tells what the index at p, relative to its share, names; r holds its
// size bytes. The format is told by the bytes, compression included, not by
// the name. It returns ErrUnknown, or an error that says what is wrong with an
// index of a known format. Entries with a name that would leave the share are
// refused with the whole index.
func Read(p string, r io.ReaderAt, size int64) ([]Entry, error) {
	head := make([]byte, 6)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading index %q: %w", p, err)
	}
	entries, err := read(p, r, size, head[:n])
	if err != nil {
		return nil, fmt.Errorf("reading index %q: %w", p, err)
	}
	return entries, nil
}

func read(p string, r io.ReaderAt, size int64, head []byte) ([]Entry, error) {
	whole := io.NewSectionReader(r, 0, size)
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return readWAPT(p, r, size)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(whole)
		if err != nil {
			return nil, err
		}
		return readText(p, z)
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		z, err := xz.NewReader(bufio.NewReaderSize(whole, 64<<10))
		if err != nil {
			return nil, err
		}
		return readText(p, z)
	default:
		return readText(p, whole)
	}
}

// readWAPT reads the member "Packages" of WAPT's index, a zip container. Its
// names are relative to the folder of the index.
func readWAPT(p string, r io.ReaderAt, size int64) ([]Entry, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	for _, f := range z.File {
		if f.Name != "Packages" {
			continue
		}
		m, err := f.Open()
		if err != nil {
			return nil, err
		}
		defer m.Close()
		return readStanzas(scanner(m), dir(p))
	}
	return nil, fmt.Errorf("%w: a zip without a member named Packages", ErrUnknown)
}

func readText(p string, r io.Reader) ([]Entry, error) {
	switch path.Base(p) {
	case "Release", "InRelease":
		return readRelease(scanner(r), dir(p))
	default:
		return readStanzas(scanner(r), root(p))
	}
}

func scanner(r io.Reader) *lines {
	s := bufio.NewScanner(&capped{r: r, left: maxText})
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	return &lines{Scanner: s}
}

// lines counts lines, so that an error says where.
type lines struct {
	*bufio.Scanner
	n int
}

func (l *lines) Scan() bool { l.n++; return l.Scanner.Scan() }

func (l *lines) fault(format string, args ...any) error {
	return fmt.Errorf("line %d: %w", l.n, fmt.Errorf(format, args...))
}

// capped fails, where [io.LimitReader] would end, when more than left bytes come.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("more than %d bytes of text", maxText)
	}
	n, err := c.r.Read(b)
	c.left -= int64(n)
	return n, err
}

// join makes a path of the share from a folder and a name of the index.
func join(folder, name string) (string, error) {
	if strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("name %q leaves the share", name)
	}
	p := path.Join(folder, name)
	if p == "." || p == ".." || strings.HasPrefix(p, "../") || len(p) > maxPathBytes {
		return "", fmt.Errorf("name %q leaves the share", name)
	}
	return p, nil
}
