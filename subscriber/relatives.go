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
	content  bus.Content       // as recorded; zero if the file is not
	stored   *objects.Manifest // that of the recorded content, if it is stored and cut as it should be
	manifest *objects.Manifest // of what lies there; nil: to be cut again
}

// relatives returns the files worth looking at, best first: what lies at the
// path, what was renamed to it, and files of the same package.
func (s *session) relatives(it *item, ev *bus.Event) (found []relative, err error) {
	err = s.r.state.view(func(tx *stateTx) error {
		found = tx.relatives(ev)
		for i := range found {
			found[i].load(tx, ev.Content.Params)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if it.old != nil {
		found[0].manifest = it.old
	}
	return found, nil
}

// relatives are without their manifests; the first is that of the path.
func (t *stateTx) relatives(ev *bus.Event) []relative {
	found := []relative{{path: ev.Path}}
	if rec, ok := t.record(ev.Path); ok && rec.Event.Kind == bus.KindFile {
		found[0].content = rec.Event.Content
	}
	if ev.From != "" && ev.From != ev.Path {
		if rec, ok := t.record(ev.From); ok && rec.Event.Kind == bus.KindFile {
			found = append(found, relative{path: ev.From, content: rec.Event.Content})
		}
	}
	prefix, ok := bus.PackagePrefix(ev.Path)
	if !ok {
		return found
	}
	var fromBase []relative
	left := relativeScan
	t.walkPrefix(prefix, func(p string, rec record) bool {
		if rec.Event.Kind == bus.KindFile && rec.Event.Content.Size > 0 && p != ev.Path && p != ev.From {
			fromBase = append(fromBase, relative{path: p, content: rec.Event.Content})
		}
		left--
		return left > 0
	})
	slices.SortFunc(fromBase, func(a, b relative) int {
		return cmp.Compare(distance(a.content.Size, ev.Content.Size), distance(b.content.Size, ev.Content.Size))
	})
	return append(found, fromBase[:min(len(fromBase), maxRelatives)]...)
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

// load takes the manifest from the state, where it is stored and cut with these
// parameters.
func (r *relative) load(tx *stateTx, p objects.Params) {
	if r.content.Objects <= 1 || r.content.Params != p {
		return
	}
	if m, err := objects.DecodeManifest(tx.manifest(r.content.Manifest)); err == nil {
		r.stored, r.manifest = m, m
	}
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
func (a *assembly) kin(ctx context.Context, rels []relative) (*kin, error) {
	k := &kin{files: make(map[string]*os.File)}
	if !slices.Contains(a.have, false) {
		return k, nil
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
