package index

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
)

// stanza is what is kept of one: of a binary package its file, of a source
// package the folder and the list of its files.
type stanza struct {
	filename  string
	size      string
	md5       string
	sha256    string
	directory string
	files     []fileLine // of Files and Checksums-Sha256
}

type fileLine struct{ digest, size, name string }

// readStanzas reads paragraphs of "key : value" lines, as WAPT's Packages and
// Debian's Packages and Sources (deb822, Debian Policy 5.1) both are. WAPT
// pads keys and writes them in lower case, so keys are trimmed and folded.
func readStanzas(l *lines, folder string) ([]Entry, error) {
	var (
		out   []Entry
		s     stanza
		field string
		keys  int
	)
	flush := func() error {
		var err error
		out, err = s.append(out, folder, l)
		s, field = stanza{}, ""
		return err
	}
	for l.Scan() {
		line := bytes.TrimRight(l.Bytes(), "\r")
		if len(bytes.TrimSpace(line)) == 0 {
			if err := flush(); err != nil {
				return nil, err
			}
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			if field == "files" || field == "checksums-sha256" {
				f := strings.Fields(string(line))
				if len(f) != 3 {
					return nil, l.fault("want digest, size and name, have %q", line)
				}
				s.files = append(s.files, fileLine{f[0], f[1], f[2]})
			}
			continue
		}
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return nil, l.fault("%w: no colon in %.40q", ErrUnknown, line)
		}
		keys++
		field = strings.ToLower(string(bytes.TrimSpace(key)))
		s.set(field, string(bytes.TrimSpace(value)))
		if len(out) > MaxEntries {
			return nil, l.fault("more than %d files named", MaxEntries)
		}
	}
	if err := l.Err(); err != nil {
		return nil, l.fault("%w", err)
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if keys > 0 && len(out) == 0 {
		return nil, l.fault("%w: no stanza names a file", ErrUnknown)
	}
	return out, nil
}

func (s *stanza) set(key, value string) {
	switch key {
	case "filename":
		s.filename = value
	case "size":
		s.size = value
	case "md5sum":
		s.md5 = value
	case "sha256":
		s.sha256 = value
	case "directory":
		s.directory = value
	}
}

// append adds what the stanza names to out.
func (s *stanza) append(out []Entry, folder string, l *lines) ([]Entry, error) {
	if s.filename != "" {
		e := Entry{}
		if err := e.fill(folder, s.filename, s.size, l); err != nil {
			return nil, err
		}
		e.digest(s.md5)
		e.digest(s.sha256)
		out = append(out, e)
	}
	if s.directory == "" {
		return out, nil
	}
	byPath := make(map[string]int, len(s.files))
	for _, f := range s.files {
		e := Entry{}
		if err := e.fill(folder, s.directory+"/"+f.name, f.size, l); err != nil {
			return nil, err
		}
		i, ok := byPath[e.Path]
		if !ok {
			i = len(out)
			byPath[e.Path] = i
			out = append(out, e)
		}
		out[i].digest(f.digest)
	}
	return out, nil
}

func (e *Entry) fill(folder, name, size string, l *lines) error {
	p, err := join(folder, name)
	if err != nil {
		return l.fault("%w", err)
	}
	e.Path = p
	if e.Size, err = strconv.ParseInt(size, 10, 64); err != nil || e.Size < 0 {
		return l.fault("size %q of %q", size, name)
	}
	return nil
}

// digest takes a hexadecimal MD5 or SHA-256, told apart by their length; what
// is neither is left out, since older indexes carry none or SHA-1.
func (e *Entry) digest(s string) {
	switch len(s) {
	case hex.EncodedLen(len(e.MD5)):
		_, err := hex.Decode(e.MD5[:], []byte(s))
		e.HasMD5 = err == nil
	case hex.EncodedLen(len(e.SHA256)):
		_, err := hex.Decode(e.SHA256[:], []byte(s))
		e.HasSHA256 = err == nil
	}
}
