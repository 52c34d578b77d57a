package subscriber

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"waptsync/bus"
)

// walkTree calls fn for all that lies beneath dir ("" for the whole share,
// without what is no content of it), a directory behind what is in it. It holds
// one descriptor and some hundred names a level; what changes meanwhile is seen
// or not.
func walkTree(ctx context.Context, t *tree, dir string, fn func(path string, kind bus.Kind) error) error {
	v := t.visit()
	f, err := v.folder(dir)
	if err != nil {
		v.close()
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		return err
	}
	d, err := f.entries()
	v.close()
	if err != nil {
		return err
	}
	defer d.Close()
	prefix := ""
	if dir != "" {
		prefix = dir + "/"
	}
	for {
		entries, err := d.ReadDir(512)
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			p := prefix + e.Name()
			if dir == "" && ignored(p) {
				continue
			}
			kind := kindOf(e.Type())
			if kind == bus.KindDir {
				if err := walkTree(ctx, t, p, fn); err != nil {
					return err
				}
			}
			if err := fn(p, kind); err != nil {
				return err
			}
		}
		if err != nil || len(entries) == 0 {
			return nil // io.EOF; a name that vanished is no error
		}
	}
}
