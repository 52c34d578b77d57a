package subscriber

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"waptsync/bus"
)

const trashDay = "20060102"

// errTaken says that the trash's present folder has something of that name.
var errTaken = errors.New("a name of the trash is taken")

// moveToTrash takes a path out of the share without losing it. It goes to
// .waptsync/trash/<date>-<n>/<path>; n grows when one path goes there twice in a
// day. The caller holds the commit lock.
func (r *Replica) moveToTrash(v *visit, p string) error {
	dir, base := split(p)
	day := r.now().UTC().Format(trashDay)
	for n := 1; ; n++ {
		to := path.Join(hidden, trashName, day+"-"+strconv.Itoa(n), dir)
		f, err := v.create(to, 0o700, func(string) error { return errTaken }, func(string) {})
		if err == nil {
			if _, lerr := f.lstat(base); lerr == nil {
				err = errTaken
			} else if !errors.Is(lerr, fs.ErrNotExist) {
				err = lerr
			}
		}
		if errors.Is(err, errTaken) {
			continue
		}
		if err != nil {
			return fmt.Errorf("moving to the trash: %w", err)
		}
		from, err := v.folder(dir)
		if err != nil {
			return err
		}
		if f, err = v.folder(to); err != nil {
			return err
		}
		if err := from.rename(base, f, base); err != nil {
			return fmt.Errorf("moving to the trash: %w", err)
		}
		r.trashed.Add(1)
		r.log.Info().Str("path", p).Msg("moved to the trash: the main does not have it")
		return nil
	}
}

// TrashEntry is a file, a link or another thing in a share's trash.
type TrashEntry struct {
	Path string    // as it was in the share
	Day  time.Time // of its removal, UTC
	Name string    // of the folder in the trash
	Size int64     // bytes
}

// File is where the entry lies, given the share's folder.
func (e *TrashEntry) File(dir string) string {
	return filepath.Join(dir, hidden, trashName, e.Name, filepath.FromSlash(e.Path))
}

// ListTrash calls fn for all that is in the trash, until it returns an error.
func (r *Replica) ListTrash(ctx context.Context, fn func(TrashEntry) error) error {
	t, err := openTree(r.o.Dir)
	if err != nil {
		return fmt.Errorf("opening the share's folder: %w", err)
	}
	defer t.close()
	return eachTrash(ctx, t, func(name string, day time.Time) error {
		top := path.Join(hidden, trashName, name)
		return walkTree(ctx, t, top, func(p string, kind bus.Kind) error {
			if kind == bus.KindDir {
				return nil
			}
			e := TrashEntry{Path: strings.TrimPrefix(p, top+"/"), Day: day, Name: name}
			if fi, err := t.root.Lstat(p); err == nil {
				e.Size = fi.Size()
			}
			return fn(e)
		})
	})
}

// EmptyTrash deletes all that is in the trash for good.
func (r *Replica) EmptyTrash(ctx context.Context) error {
	t, err := openTree(r.o.Dir)
	if err != nil {
		return fmt.Errorf("opening the share's folder: %w", err)
	}
	defer t.close()
	return r.clearTrash(ctx, t, func(time.Time) bool { return true })
}

// expireTrash deletes what is in the trash for longer than agreed and counts
// the rest.
func (r *Replica) expireTrash(ctx context.Context, t *tree) error {
	return r.clearTrash(ctx, t, func(day time.Time) bool {
		return r.now().Sub(day) > r.o.Trash+24*time.Hour // a day's folder fills until midnight
	})
}

func (r *Replica) clearTrash(ctx context.Context, t *tree, old func(day time.Time) bool) error {
	r.commit.Lock()
	defer r.commit.Unlock()
	var names []string
	kept := int64(0)
	err := eachTrash(ctx, t, func(name string, day time.Time) error {
		if old(day) {
			names = append(names, name)
			return nil
		}
		return walkTree(ctx, t, path.Join(hidden, trashName, name), func(_ string, kind bus.Kind) error {
			if kind != bus.KindDir {
				kept++
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := t.root.RemoveAll(path.Join(hidden, trashName, name)); err != nil {
			return fmt.Errorf("emptying the trash: %w", err)
		}
	}
	r.trashed.Store(kept)
	return nil
}

// eachTrash calls fn for the folders of the trash.
func eachTrash(ctx context.Context, t *tree, fn func(name string, day time.Time) error) error {
	v := t.visit()
	defer v.close()
	f, err := v.folder(path.Join(hidden, trashName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening the trash: %w", err)
	}
	return eachName(f, func(name string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		date, _, _ := strings.Cut(name, "-")
		day, err := time.Parse(trashDay, date)
		if err != nil {
			return nil // not ours
		}
		return fn(name, day)
	})
}
