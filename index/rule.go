package index

import (
	"fmt"
	"path"
	"strings"
)

// DefaultPatterns are the base names of files that are taken for an index:
// WAPT's and Debian's. What lies under by-hash is named by Release, and is no
// index itself.
var DefaultPatterns = []string{
	"Packages", "Packages.gz", "Packages.xz",
	"Sources", "Sources.gz", "Sources.xz",
	"Release", "InRelease", "Release.gpg",
}

// Rule says which paths of a share are indexes.
type Rule struct {
	names    map[string]bool // patterns that only match themselves
	patterns []string        // the others
}

// NewRule makes a rule of patterns in the syntax of [path.Match]. A pattern
// with a slash is held against the whole path, others against the base name.
// Without patterns no path is an index.
func NewRule(patterns []string) (*Rule, error) {
	r := &Rule{names: make(map[string]bool)}
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("index pattern %q: %w", p, err)
		}
		if strings.ContainsAny(p, `/*?[\`) {
			r.patterns = append(r.patterns, p)
		} else {
			r.names[p] = true
		}
	}
	return r, nil
}

// IsIndex says whether the file at p is an index by this rule.
func (r *Rule) IsIndex(p string) bool {
	if r == nil {
		return false
	}
	base := path.Base(p)
	if r.names[base] {
		return true
	}
	for _, pattern := range r.patterns {
		name := base
		if strings.Contains(pattern, "/") {
			name = p
		}
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// Rank orders indexes that become visible together: what names others comes
// after what it names, so Release after Packages, and a signature apart from
// its Release last of all.
func Rank(p string) int {
	switch path.Base(p) {
	case "Release.gpg":
		return 3
	case "InRelease":
		return 2
	case "Release":
		return 1
	}
	return 0
}

// root is the folder to which the names in a Debian index at p are relative:
// the one that holds "dists", or the index's own in a flat repository.
func root(p string) string {
	if i := strings.Index("/"+p, "/dists/"); i >= 0 {
		return strings.TrimSuffix(p[:i], "/")
	}
	return dir(p)
}

// dir is the folder of p, "" for the share itself.
func dir(p string) string {
	if d := path.Dir(p); d != "." {
		return d
	}
	return ""
}
