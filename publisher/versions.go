package publisher

import (
	"strings"

	"waptsync/bus"
	"waptsync/objects"
)

// maxVersions bounds the versions of a package that are looked at.
const maxVersions = 8

// published are the objects of the versions of a large file's package that have
// events. They are not put into the window again: that would double what the main
// writes and does for a new version, for the sake of remotes that have none of the
// old ones, and lose the main's file while they fetch it.
func (s *session) published(path string) map[objects.ID]bool {
	had := make(map[objects.ID]bool)
	left := maxVersions
	add := func(p string) {
		e, ok := s.tree.get(p)
		if c := e.content(); ok && left > 0 && !c.Manifest.IsZero() {
			left--
			encoded, _ := s.hasher.manifests.get(c.Manifest)
			m, err := objects.DecodeManifest(encoded)
			if err != nil {
				return // it is put all the same
			}
			for _, o := range m.Objects {
				had[o.ID] = true
			}
		}
	}
	add(path)
	if prefix, ok := bus.PackagePrefix(path); ok {
		dir := above(path)
		for _, name := range s.tree.list(dir) {
			if p := join(dir, name); p != path && strings.HasPrefix(p, prefix) {
				add(p)
			}
		}
	}
	return had
}
