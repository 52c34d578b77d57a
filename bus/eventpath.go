package bus

import (
	"errors"
	"fmt"
	"strings"
)

// ValidPath says whether p can be a path of a share: elements separated by
// single '/', none of them empty, "." or "..", no NUL, at most 4096 bytes and
// 255 an element (Linux: PATH_MAX, NAME_MAX). Other bytes are as they come: a
// file name need not be UTF-8.
func ValidPath(p string) error {
	if p == "" {
		return errors.New("path is empty")
	}
	if len(p) > maxPathLength {
		return fmt.Errorf("path of %d bytes: at most %d", len(p), maxPathLength)
	}
	if strings.IndexByte(p, 0) >= 0 {
		return fmt.Errorf("path %q has a NUL", p)
	}
	for rest, more := p, true; more; {
		var element string
		element, rest, more = strings.Cut(rest, "/")
		switch {
		case element == "":
			return fmt.Errorf("path %q has an empty element", p)
		case element == "." || element == "..":
			return fmt.Errorf("path %q has the element %q", p, element)
		case len(element) > maxElementBytes:
			return fmt.Errorf("path %q has an element of %d bytes: at most %d", p, len(element), maxElementBytes)
		}
	}
	return nil
}

// PackagePrefix is what the paths of one package's versions begin with: a name
// up to its first '_' in the same folder. A remote takes what it can of one from
// another.
func PackagePrefix(path string) (prefix string, ok bool) {
	base := strings.LastIndexByte(path, '/') + 1
	i := strings.IndexByte(path[base:], '_')
	if i <= 0 {
		return "", false
	}
	return path[:base+i+1], true
}
