//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"waptsync/bench/tree"
)

// waptsync is used as an administrator would, by its command line.
type waptsync struct {
	*scene
	joined map[string]bool // remotes that need no invitation any more
}

func newWaptsync(s *scene) system { return &waptsync{s, make(map[string]bool)} }

const busPort, pagePort = "4222", "8384"

func (w *waptsync) data(of string) string { return filepath.Join(w.dir, "data-"+of) }

func folders(root string) []string {
	var args []string
	for _, share := range shares {
		args = append(args, "--share", share+"="+filepath.Join(root, share))
	}
	return args
}

func (w *waptsync) startMain(context.Context) error {
	args := append([]string{"publish", "--data", w.data("main"),
		"--listen", w.pair.Main.IP + ":" + busPort, "--http", w.pair.Main.IP + ":" + pagePort}, folders(w.src)...)
	return w.start(w.pair.Main, "main", w.waptsync, args...)
}

// status is what the bench reads of `waptsync status --json` on the main.
type status struct {
	Shares map[string]struct {
		State  string `json:"state"`
		Files  int    `json:"files"`
		Hashed int64  `json:"hashed_bytes"`
	} `json:"shares"`
}

func (w *waptsync) status(ctx context.Context) (status, error) {
	var st status
	out, err := output(ctx, w.pair.Main, "", w.waptsync, "status", "--json", "--data", w.data("main"))
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(out, &st)
}

func (w *waptsync) ready(ctx context.Context) error {
	want := make(map[string]int)
	for _, share := range shares {
		n, err := tree.Count(filepath.Join(w.src, share))
		if err != nil {
			return err
		}
		want[share] = n
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, fmt.Errorf("the main did not publish its tree in %v", w.timeout))
	defer cancel()
	for {
		if err := w.ended(); err != nil {
			return err
		}
		begin := time.Now()
		st, err := w.status(ctx) // fails until the service listens
		all := err == nil
		for share, n := range want {
			all = all && st.Shares[share].State == "live" && st.Shares[share].Files >= n
		}
		if all {
			return nil
		}
		if sleep(ctx, max(50*time.Millisecond, 5*time.Since(begin))) != nil {
			return fmt.Errorf("%w: %v, %+v", context.Cause(ctx), err, st)
		}
	}
}

func (w *waptsync) startRemote(ctx context.Context) error {
	return w.subscribe(ctx, "remote", w.dst)
}

func (w *waptsync) startNext(ctx context.Context, number int, folder string) error {
	return w.subscribe(ctx, fmt.Sprintf("remote-%d", number), folder)
}

// join makes a remote known to the main and the main to the remote.
func (w *waptsync) join(ctx context.Context, as string) error {
	if w.joined[as] {
		return nil
	}
	line, err := output(ctx, w.pair.Main, "", w.waptsync, "invite", as, "--data", w.data("main"),
		"--advertise", w.pair.Main.IP+":"+busPort)
	if err != nil {
		return err
	}
	if _, err := output(ctx, w.pair.Remote, string(line), w.waptsync, "join", "-", "--data", w.data(as)); err != nil {
		return err
	}
	w.joined[as] = true
	return nil
}

func (w *waptsync) subscribe(ctx context.Context, as, folder string) error {
	if err := w.join(ctx, as); err != nil {
		return err
	}
	args := append([]string{"subscribe", "--data", w.data(as)}, folders(folder)...)
	return w.start(w.pair.Remote, as, w.waptsync, args...)
}

// hashed is how many bytes the main read to hash them since its start.
func (w *waptsync) hashed(ctx context.Context) (int64, error) {
	st, err := w.status(ctx)
	var sum int64
	for _, s := range st.Shares {
		sum += s.Hashed
	}
	return sum, err
}

// version tells which binary is measured.
func version(binary string) string {
	i, err := os.Stat(binary)
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%s of %s", filepath.Base(binary), i.ModTime().Format(time.DateTime))
}
