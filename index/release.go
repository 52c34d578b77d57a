package index

import (
	"encoding/hex"
	"path"
	"strings"
)

// readRelease reads the checksums of Debian's Release, and of InRelease, which
// is the same text within a clear signature (RFC 9580, section 7). Every name is
// optional, and relative to the folder. What it says of itself is left out. With
// "Acquire-By-Hash: yes" the names by digest count as named too: apt asks for the
// one of the strongest digest first, and takes what stands under the plain name,
// of a later Release perhaps, where that is missing.
func readRelease(l *lines, folder string) ([]Entry, error) {
	r := release{byPath: map[string]int{}}
	section, known, byHash := "", false, false
	for l.Scan() {
		line := strings.TrimRight(l.Text(), "\r ")
		if !strings.HasPrefix(line, " ") {
			key, value, _ := strings.Cut(line, ":")
			section = ""
			switch key {
			case "MD5Sum", "SHA256":
				known = true
				section = key
			case "SHA512":
				section = key
			case "Acquire-By-Hash":
				byHash = strings.TrimSpace(value) == "yes"
			}
			continue
		}
		if section == "" {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, l.fault("want digest, size and name, have %q", line)
		}
		if Rank(f[2]) > 0 && !strings.Contains(f[2], "/") {
			// apt-ftparchive lists the Release file that lay there before, and
			// InRelease repeats that: nobody can look it up.
			continue
		}
		e := Entry{Optional: true}
		if err := e.fill(folder, f[2], f[1], l); err != nil {
			return nil, err
		}
		i, err := r.add(e, l)
		if err != nil {
			return nil, err
		}
		r.entries[i].digest(f[0])
		if _, err := hex.DecodeString(f[0]); err == nil && section != "MD5Sum" {
			r.sums = append(r.sums, sum{i, section, f[0]})
		}
	}
	if err := l.Err(); err != nil {
		return nil, l.fault("%w", err)
	}
	if !known {
		return nil, l.fault("%w: neither SHA256 nor MD5Sum in a Release file", ErrUnknown)
	}
	if byHash {
		for _, s := range r.sums {
			e := r.entries[s.entry]
			e.Path = path.Join(dir(e.Path), "by-hash", s.section, s.hex)
			if len(e.Path) > maxPathBytes {
				continue // no file can be called so
			}
			if _, err := r.add(e, l); err != nil {
				return nil, err
			}
		}
	}
	return r.entries, nil
}

// release is what a Release file names.
type release struct {
	entries []Entry
	byPath  map[string]int
	sums    []sum
}

// sum is a digest of an entry, in the words of the file.
type sum struct {
	entry        int
	section, hex string
}

// add returns the place of the entry of that path.
func (r *release) add(e Entry, l *lines) (int, error) {
	if i, ok := r.byPath[e.Path]; ok {
		return i, nil
	}
	if len(r.entries) >= MaxEntries {
		return 0, l.fault("more than %d files named", MaxEntries)
	}
	r.byPath[e.Path] = len(r.entries)
	r.entries = append(r.entries, e)
	return len(r.entries) - 1, nil
}
