package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"waptsync/subscriber"
)

// trashLine is one line of the answer that lists a share's trash: a file, or the
// error that ended the list.
type trashLine struct {
	Path string    `json:"path,omitempty"` // as it was in the share
	Day  time.Time `json:"day,omitzero"`
	Size int64     `json:"size"`
	File string    `json:"file,omitempty"` // where it lies on this host
	apiError
}

// serveTrash streams the list of a share's trash as JSON lines.
func (s *subscribeService) serveTrash(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	replica, err := s.share(name)
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out := json.NewEncoder(w)
	dir := s.config.Shares[name].Dir
	err = replica.ListTrash(r.Context(), func(e subscriber.TrashEntry) error {
		return out.Encode(trashLine{Path: e.Path, Day: e.Day, Size: e.Size, File: e.File(dir)})
	})
	if err != nil {
		_ = out.Encode(trashLine{apiError: apiError{err.Error(), hintOf(err)}}) // else the client is gone
	}
}

// EmptyTrash deletes for good what is in a share's trash.
func (s *subscribeService) EmptyTrash(ctx context.Context, share string) error {
	r, err := s.share(share)
	if err != nil {
		return err
	}
	return r.EmptyTrash(ctx)
}

func (a *app) newTrashCommand() *cobra.Command {
	return group("trash", "On a remote: what was moved aside because the main does not have it",
		a.newTrashListCommand(), a.newTrashRestoreCommand(), a.newTrashEmptyCommand())
}

func (a *app) newTrashListCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list SHARE",
		Short:   "List the files of a share's trash",
		Example: "  waptsync trash list wapt",
		Args:    cobra.ExactArgs(1),
	}
	data := addDataFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		t := newTable(a.out)
		fmt.Fprintln(t, "DAY\tSIZE\tPATH\tFILE")
		err := eachTrashed(c.Context(), newControlClient(data.get(a)), args[0], func(l *trashLine) error {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Day.Format(time.DateOnly), showBytes(l.Size), l.Path, l.File)
			return nil
		})
		return errors.Join(err, t.Flush())
	}
	return c
}

func (a *app) newTrashRestoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore SHARE PATH TO",
		Short: "Copy a file out of a share's trash",
		Long: `restore copies the newest version of a file in the trash to TO, which must not be
there yet. It does not put it back into the share: the main does not have it, so it
would go to the trash again. To have it everywhere, put it into the main's folder.`,
		Example: "  waptsync trash restore wapt tis-old_1.0.wapt /root/tis-old_1.0.wapt",
		Args:    cobra.ExactArgs(3),
	}
	data := addDataFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		var newest *trashLine
		err := eachTrashed(c.Context(), newControlClient(data.get(a)), args[0], func(l *trashLine) error {
			if l.Path == args[1] && (newest == nil || !l.Day.Before(newest.Day)) {
				newest = l
			}
			return nil
		})
		if err != nil {
			return err
		}
		if newest == nil {
			return withHint(fmt.Errorf("%q is not in the trash of %s", args[1], args[0]), "`waptsync trash list "+args[0]+"` says what is")
		}
		return copyNew(newest.File, args[2])
	}
	return c
}

func (a *app) newTrashEmptyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "empty SHARE",
		Short:   "Delete for good what is in a share's trash",
		Example: "  waptsync trash empty wapt",
		Args:    cobra.ExactArgs(1),
	}
	data := addDataFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return newControlClient(data.get(a)).call(c.Context(), http.MethodPost, trashPath(args[0])+"/empty", nil, nil)
	}
	return c
}

func trashPath(share string) string { return "/v1/shares/" + url.PathEscape(share) + "/trash" }

// eachTrashed calls fn for each file of a share's trash.
func eachTrashed(ctx context.Context, client *controlClient, share string, fn func(*trashLine) error) error {
	body, err := client.open(ctx, http.MethodGet, trashPath(share), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		l := new(trashLine)
		switch err := lines.Decode(l); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the service's answer: %w", err)
		case l.Error != "":
			return withHint(errors.New(l.Error), l.Hint)
		}
		if err := fn(l); err != nil {
			return err
		}
	}
}

// copyNew copies a regular file, with its mtime, to a name that is free.
func copyNew(from, to string) (err error) {
	fi, err := os.Lstat(from)
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("restoring: %s is no regular file; it may be copied by hand", from)
	}
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	defer src.Close()
	if to, err = filepath.Abs(to); err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fi.Mode().Perm())
	if err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	defer func() {
		if cerr := dst.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = os.Chtimes(to, time.Time{}, fi.ModTime())
		}
	}()
	if _, err := io.Copy(dst, src); err != nil {
		return fmt.Errorf("restoring: %w", err)
	}
	return nil
}
