package subscriber

import (
	"cmp"
	"context"
	"os"
	"slices"

	"waptsync/bus"
	"waptsync/objects"
)

// Bounds of the search for files that resemble a content. Cutting a file reads
// it whole, which pays only where it is of about the same size.
const (
	maxRelatives  = 3
	relativeScan  = 256       // records of one package looked at
	relativeTimes = 4         // how many times larger or smaller
	maxRecut      = 512 << 20 // bytes cut again for one content
)

// relative is a file that may share objects with a content.
type relative struct {
	path     string
	size     int64
	manifest *objects.Manifest // nil: to be cut again
}

// relatives returns the files worth looking at, best first: what lies at the
// path, what was renamed to it, and files of the same package.
func (s *session) relatives(it *item, ev *bus.Event) ([]relative, error) {
	var found []relative
	var fromBase []relative
	seen := make(map[string]bool)
	err := s.r.state.view(func(tx *stateTx) error {
		for _, p := range []string{ev.Path, ev.From} {
			if p == "" || seen[p] {
				continue
			}
			rec, ok := tx.record(p)
			if ok && rec.Event.Kind == bus.KindFile {
				seen[p] = true
				found = append(found, s.relative(tx, p, &rec, ev))
			}
		}
		prefix, ok := bus.PackagePrefix(ev.Path)
		if !ok {
			return nil
		}
		left := relativeScan
		tx.walkPrefix(prefix, func(p string, rec record) bool {
			if rec.Event.Kind == bus.KindFile && rec.Event.Content.Size > 0 && !seen[p] {
				fromBase = append(fromBase, s.relative(tx, p, &rec, ev))
			}
			left--
			return left > 0
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 || found[0].path != ev.Path {
		found = slices.Insert(found, 0, relative{path: ev.Path})
	}
	if it.old != nil {
		found[0].manifest = it.old
	}
	slices.SortFunc(fromBase, func(a, b relative) int {
		return cmp.Compare(distance(a.size, ev.Content.Size), distance(b.size, ev.Content.Size))
	})
	return append(found, fromBase[:min(len(fromBase), maxRelatives)]...), nil
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

// relative describes a recorded file; its manifest is at hand when it is stored
// and cut with the same parameters.
func (s *session) relative(tx *stateTx, path string, rec *record, ev *bus.Event) relative {
	c := &rec.Event.Content
	r := relative{path: path, size: c.Size}
	if c.Objects > 1 && c.Params == ev.Content.Params {
		if m, err := objects.DecodeManifest(tx.manifest(c.Manifest)); err == nil {
			r.manifest = m
		}
	}
	return r
}

// kin is what resembling files on this host have of a content. What it says is a
// hint: the files may have changed.
type kin struct {
	sources objects.Sources
	files   map[string]*os.File
}

func (k *kin) close() {
	for _, f := range k.files {
		f.Close()
	}
}

// kin opens the files that resemble the content. Whatever is wrong with such a
// file only means that more has to be fetched.
func (a *assembly) kin(ctx context.Context) (*kin, error) {
	k := &kin{files: make(map[string]*os.File)}
	if !slices.Contains(a.have, false) {
		return k, nil
	}
	rels, err := a.s.relatives(a.it, a.ev)
	if err != nil {
		return nil, broken("reading the state", err)
	}
	v := a.s.tree.visit()
	defer v.close()
	recut := int64(maxRecut)
	for _, r := range rels {
		f, err := v.openFile(r.path)
		if err != nil {
			continue
		}
		m := r.manifest
		if m == nil {
			st, err := statFile(f)
			if err != nil || !alike(st.size, a.ev.Content.Size) || st.size > recut {
				f.Close()
				continue
			}
			recut -= st.size
			if m, err = objects.Describe(ctx, f, st.size, a.m.Params, objects.DescribeOptions{}); err != nil {
				f.Close()
				if ctx.Err() != nil {
					k.close()
					return nil, ctx.Err()
				}
				continue
			}
		}
		k.files[r.path] = f
		k.sources.Add(r.path, m)
	}
	return k, nil
}

func alike(a, b int64) bool {
	return a > 0 && a <= relativeTimes*b && b <= relativeTimes*a
}
