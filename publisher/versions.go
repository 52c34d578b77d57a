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
	var manifests []objects.ID
	add := func(_ string, e entry) bool {
		if c := e.content(); !c.Manifest.IsZero() {
			manifests = append(manifests, c.Manifest)
		}
		return len(manifests) < maxVersions
	}
	if e, ok := s.tree.get(path); ok {
		add(path, e)
	}
	if prefix, ok := bus.PackagePrefix(path); ok {
		s.tree.beside(above(path), func(p string, e entry) bool {
			return p == path || !strings.HasPrefix(p, prefix) || add(p, e)
		})
	}
	had := make(map[objects.ID]bool)
	for _, id := range manifests {
		encoded, _ := s.hasher.manifests.get(id)
		m, err := objects.DecodeManifest(encoded)
		if err != nil {
			continue // it is put all the same
		}
		for _, o := range m.Objects {
			had[o.ID] = true
		}
	}
	return had
}
