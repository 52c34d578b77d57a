package subscriber

import (
	"slices"
	"strings"
)

// IndexRule says which files name others. Such a file becomes visible only
// behind all that stood before it, and what is deleted goes only behind it.
type IndexRule interface {
	IsIndex(path string) bool
}

// IndexNames is an IndexRule by base name: a name, or its beginning followed by '*'.
type IndexNames []string

// DefaultIndexNames are those of WAPT's repositories and of Debian's.
var DefaultIndexNames = IndexNames{"Packages", "Packages.*", "Release", "InRelease", "Release.gpg", "Sources", "Sources.*"}

// IsIndex implements [IndexRule].
func (n IndexNames) IsIndex(path string) bool {
	_, base := split(path)
	return slices.ContainsFunc(n, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(base, prefix)
		}
		return base == pattern
	})
}
