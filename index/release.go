package index

import (
	"strings"
)

// readRelease reads the checksums of Debian's Release, and of InRelease, which
// is the same text within a clear signature (RFC 9580, section 7). Only MD5Sum
// and SHA256 are read; every name is optional, and relative to the folder. What it
// says of itself is left out.
func readRelease(l *lines, folder string) ([]Entry, error) {
	var (
		out    []Entry
		byPath = map[string]int{}
		in     bool
		known  bool
	)
	for l.Scan() {
		line := strings.TrimRight(l.Text(), "\r ")
		if !strings.HasPrefix(line, " ") {
			key, _, _ := strings.Cut(line, ":")
			in = key == "SHA256" || key == "MD5Sum"
			known = known || in
			continue
		}
		if !in {
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
		i, ok := byPath[e.Path]
		if !ok {
			if len(out) >= MaxEntries {
				return nil, l.fault("more than %d files named", MaxEntries)
			}
			i = len(out)
			byPath[e.Path] = i
			out = append(out, e)
		}
		out[i].digest(f[0])
	}
	if err := l.Err(); err != nil {
		return nil, l.fault("%w", err)
	}
	if !known {
		return nil, l.fault("%w: neither SHA256 nor MD5Sum in a Release file", ErrUnknown)
	}
	return out, nil
}
