package subscriber

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"waptsync/bus"
	"waptsync/objects"
)

// Finding is a path that is not as the state says.
type Finding struct {
	Path     string
	What     string // FindingBad, FindingMissing, FindingExtra or FindingUnreadable
	Detail   string
	Repaired bool // it is being put right; Verify does not wait for that
}

// What a Finding can be.
const (
	FindingBad        = "bad"        // other bytes, kind or target than the main's
	FindingMissing    = "missing"    // not there
	FindingExtra      = "extra"      // the main does not have it
	FindingUnreadable = "unreadable" // cannot be judged
)

// Summary counts what Verify saw.
type Summary struct {
	Files, Bytes                    int64 // read
	Bad, Missing, Extra, Unreadable int64
	Repaired                        int64
	Took                            time.Duration
}

// Verify reads every file and compares it with its digest, whatever lstat says,
// and looks for what should not be there. With repair the former are put right
// from the main and the latter moved to the trash. report is called for each
// finding, from one goroutine. It may run beside Run; what is changed by events
// meanwhile is judged by what it is then. It reads as fast as the disk gives.
func (r *Replica) Verify(ctx context.Context, repair bool, report func(Finding)) (Summary, error) {
	began := r.now()
	t, err := r.openFolder(false)
	if err != nil {
		return Summary{}, err
	}
	defer t.close()
	c := &verification{s: r.bystander(t), repair: repair, report: report}
	err = c.records(ctx)
	if err == nil {
		err = c.extra(ctx)
	}
	c.sum.Took = r.now().Sub(began)
	if err != nil {
		return c.sum, fmt.Errorf("verifying %s: %w", r.o.Share, err)
	}
	return c.sum, nil
}

// bystander is a session that follows nothing, to compare and to mend with. It
// shares the window of the real one, if there is one.
func (r *Replica) bystander(t *tree) *session {
	s := &session{r: r, tree: t, win: newWindow(r.o.Index)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != nil {
		s.win = r.session.win
	}
	return s
}

type verification struct {
	s      *session
	repair bool
	report func(Finding)
	sum    Summary
}

func (c *verification) records(ctx context.Context) error {
	last, more := "", true
	for more {
		var recs []record
		err := c.s.r.state.view(func(tx *stateTx) error {
			last, more = tx.walkRecords(last, compareStep, func(_ string, r record) { recs = append(recs, r) })
			return nil
		})
		if err != nil {
			return broken("reading the state", err)
		}
		for i := range recs {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.path(ctx, &recs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// path judges one recorded path.
func (c *verification) path(ctx context.Context, rec *record) error {
	v := c.s.tree.visit()
	defer v.close()
	what, detail := c.judge(ctx, v, rec)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if what == "" || c.s.win.pending(rec.Event.Path) || c.outdated(rec) {
		return nil
	}
	f := Finding{Path: rec.Event.Path, What: what, Detail: detail}
	switch what {
	case FindingBad:
		c.sum.Bad++
	case FindingMissing:
		c.sum.Missing++
	default:
		c.sum.Unreadable++
	}
	if c.repair {
		var err error
		if f.Repaired, err = c.mend(rec); err != nil {
			return err
		}
		if f.Repaired {
			c.sum.Repaired++
		}
	}
	c.report(f)
	return nil
}

func (c *verification) judge(ctx context.Context, v *visit, rec *record) (what, detail string) {
	st, err := v.lstat(rec.Event.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return FindingMissing, ""
	case err != nil:
		return FindingUnreadable, err.Error()
	case st.kind != rec.Event.Kind:
		return FindingBad, "it is of another kind"
	}
	switch st.kind {
	case bus.KindSymlink:
		dir, base := split(rec.Event.Path)
		f, err := v.folder(dir)
		if err != nil {
			return FindingUnreadable, err.Error()
		}
		if target, err := f.readlink(base); err != nil || target != rec.Event.Target {
			return FindingBad, fmt.Sprintf("it leads to %q instead of %q", target, rec.Event.Target)
		}
	case bus.KindFile:
		f, err := v.openFile(rec.Event.Path)
		if err != nil {
			return FindingUnreadable, err.Error()
		}
		defer f.Close()
		err = objects.Verify(ctx, f, rec.Event.Content.Size, rec.Event.Content.Digest)
		c.sum.Files++
		c.sum.Bytes += st.size
		switch {
		case errors.Is(err, objects.ErrDigest), errors.Is(err, objects.ErrSizeChanged):
			return FindingBad, err.Error()
		case err != nil:
			return FindingUnreadable, err.Error()
		}
	}
	return "", ""
}

// outdated says whether the record changed since it was read.
func (c *verification) outdated(rec *record) (changed bool) {
	_ = c.s.r.state.view(func(tx *stateTx) error {
		now, ok := tx.record(rec.Event.Path)
		changed = !ok || now != *rec
		return nil
	})
	return changed
}

// mend takes the record's word away and has its event applied again. While the
// whole folder is compared with the main it does nothing: that mends, and
// sequences of two lives of the stream cannot be told apart.
func (c *verification) mend(rec *record) (done bool, err error) {
	r := c.s.r
	r.commit.Lock()
	defer r.commit.Unlock()
	err = r.state.update(func(tx *stateTx) error {
		now, ok := tx.record(rec.Event.Path)
		if !ok || now != *rec || tx.progress().Reconciling {
			return nil
		}
		now.Local = local{}
		if err := tx.putRecord(&now, nil); err != nil {
			return err
		}
		done = true
		w := waiting{Seq: now.Seq, At: r.now(), Event: now.Event}
		return tx.putWaiting(&w)
	})
	if err != nil {
		return false, broken("writing the state", err)
	}
	if done {
		r.catalog.damage(rec.Event.Path)
	}
	poke(r.retried)
	return done, nil
}

// extra reports what the state does not know, and moves it to the trash.
func (c *verification) extra(ctx context.Context) error {
	unknown := func(tx *stateTx, p string) bool {
		return tx.files().Get([]byte(p)) == nil && tx.waits().Get([]byte(p)) == nil && !c.s.win.pending(p)
	}
	return walkTree(ctx, c.s.tree, "", func(p string, kind bus.Kind) error {
		is := false
		err := c.s.r.state.view(func(tx *stateTx) error { is = unknown(tx, p); return nil })
		if err != nil {
			return broken("reading the state", err)
		}
		if !is || kind == bus.KindDir {
			return nil // a folder without an event of its own is made as needed
		}
		f := Finding{Path: p, What: FindingExtra}
		c.sum.Extra++
		if c.repair {
			n, err := c.s.remove([]string{p}, unknown)
			if err != nil {
				return err
			}
			if f.Repaired = n > 0; !f.Repaired {
				f.Detail = "left alone: the visible index names it, its grace time lasts, or extra files are kept"
			}
			c.sum.Repaired += n
		}
		c.report(f)
		return nil
	})
}
