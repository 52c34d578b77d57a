package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"waptsync/bus"
	"waptsync/cmd/waptsync/sample"
)

const (
	demoPatience = 60 * time.Second      // for one change to reach every remote
	demoPause    = 3 * time.Second       // between two changes, without --once
	demoLook     = 10 * time.Millisecond // between two looks at a copy
)

var errDiffers = errors.New("a copy differs from the main")

func (a *app) newDemoCommand() *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a main and two remotes on this machine, with a sample repository",
		Long: `demo makes a sample WAPT repository, starts a main and two remotes on loopback,
over TLS as in real life, changes the repository the way a WAPT Server does, and
shows how long each remote takes to follow.

With --once it ends by itself and prints how the copies compare; it ends with 3
when one differs. Otherwise it goes on until Ctrl-C.`,
		Example: `  waptsync demo --once
  waptsync demo --dir /tmp/try
  waptsync status --data /tmp/try/main/data        in another terminal`,
		Args: cobra.NoArgs,
	}
	c.Flags().BoolVar(&o.once, "once", false, "make each kind of change once, compare and end")
	c.Flags().Var((*pathFlag)(&o.dir), "dir", "work here and leave it (default: a temporary folder, removed at the end)")
	c.Flags().StringVar(&o.logLevel, "log-level", "warn", "trace, debug, info, warn or error")
	c.RunE = func(c *cobra.Command, _ []string) error { return a.runDemo(c.Context(), o) }
	return c
}

type demoOptions struct {
	once     bool
	dir      string // empty means a temporary one
	logLevel string
}

// demo is a main with its remotes, all in this process.
type demo struct {
	app     *app
	dir     string
	log     zerolog.Logger
	repo    *sample.Repository
	main    *host[*publishService]
	remotes []*demoRemote
	running sync.WaitGroup
	failed  chan error // of services that stopped by themselves
}

type demoRemote struct {
	name    string
	host    *host[*subscribeService]
	first   time.Duration // of the first copy
	slowest time.Duration // of the changes after it
}

func (a *app) runDemo(ctx context.Context, o demoOptions) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "waptsync-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	common := defaultCommon()
	common.LogLevel = o.logLevel
	d := &demo{app: a, dir: o.dir, log: newLogger(a.err, common), failed: make(chan error, 3)}
	ctx, cancel := context.WithCancel(ctx)
	defer d.close(cancel)
	if err := d.start(ctx); err != nil {
		return err
	}
	if !o.once { // the page is for who looks on
		if err := d.openPage(ctx); err != nil {
			return err
		}
	}
	err = d.play(ctx, o.once)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // Ctrl-C is how it ends
	}
	return err
}

// start makes the repository and brings up the main and both remotes.
func (d *demo) start(ctx context.Context) error {
	var err error
	www := filepath.Join(d.dir, "main", "www")
	if d.repo, err = sample.Create(www, sample.Options{Packages: 12, Hosts: 60, Payload: 1 << 20, Seed: uint64(time.Now().UnixNano())}); err != nil {
		return fmt.Errorf("making the sample repository: %w", err)
	}
	config := defaultPublish()
	config.Data, config.Listen, config.Shares = filepath.Join(d.dir, "main", "data"), "127.0.0.1:0", make(map[string]PublishShare)
	for name, dir := range d.repo.Shares() {
		config.Shares[name] = PublishShare{Dir: dir}
	}
	// A demonstration shall not ask for gigabytes of a laptop's disk.
	config.Window, config.MaxStore = 64<<20, 512<<20
	if d.main, err = openMain(ctx, config, d.app.version, d.log); err != nil {
		return fmt.Errorf("starting the main: %w", err)
	}
	d.run(ctx, "main", d.main.service)
	d.say("main      %s, listening on %s", www, d.main.service.server.Addr())
	for _, name := range []string{"colmar", "mulhouse"} {
		r := &demoRemote{name: name}
		if r.host, err = d.openRemote(ctx, name); err != nil {
			return fmt.Errorf("starting %s: %w", name, err)
		}
		d.remotes = append(d.remotes, r)
		d.run(ctx, name, r.host.service)
		d.say("remote    %s", filepath.Join(d.dir, name, "www"))
	}
	return nil
}

// openPage serves the main's page; the log has the link for its first visitor.
func (d *demo) openPage(ctx context.Context) error {
	d.main.service.config.HTTP = "127.0.0.1:0"
	page, err := openMainPage(d.main.service, d.log)
	if err != nil {
		return err
	}
	d.run(ctx, "page", page)
	d.say("page      https://%s", page.listener.Addr())
	return nil
}

// openRemote invites, joins and starts a remote, as an administrator would.
func (d *demo) openRemote(ctx context.Context, name string) (*host[*subscribeService], error) {
	invitation, err := d.main.service.Invite(inviteRequest{Name: name, Expires: Duration(time.Hour)})
	if err != nil {
		return nil, err
	}
	config := defaultSubscribe()
	config.Data, config.MinFree = filepath.Join(d.dir, name, "data"), 0
	config.Shares = make(map[string]SubscribeShare)
	for share := range d.repo.Shares() {
		config.Shares[share] = SubscribeShare{Dir: filepath.Join(d.dir, name, "www", share)}
	}
	if err := makeData(config.Data); err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(d.dir, name, "www"), 0o755); err != nil {
		return nil, err
	}
	identity, err := bus.LoadIdentity(config.Data)
	if err != nil {
		return nil, err
	}
	m, err := bus.Join(ctx, invitation.Line, identity)
	if err != nil {
		return nil, err
	}
	if err := bus.SaveMembership(config.Data, m); err != nil {
		return nil, err
	}
	return openRemote(ctx, config, d.app.version, d.log)
}

func (d *demo) run(ctx context.Context, name string, s runner) {
	d.running.Go(func() {
		if err := s.Run(ctx); err != nil {
			d.failed <- fmt.Errorf("%s stopped: %w", name, err)
		}
	})
}

// close stops remotes before their main.
func (d *demo) close(cancel func()) {
	cancel()
	d.running.Wait()
	for _, r := range d.remotes {
		r.host.Close()
	}
	if d.main != nil {
		d.main.Close()
	}
}

// play makes changes and waits for every remote to follow each.
func (d *demo) play(ctx context.Context, once bool) error {
	d.say("\nfirst copy of %s", d.size())
	if err := d.follow(ctx, func(r *demoRemote, t time.Duration) { r.first = t }); err != nil {
		return d.end(err)
	}
	changes := []struct {
		what string
		do   func() (string, error)
	}{
		{"new package", func() (string, error) {
			return d.repo.AddPackage(fmt.Sprintf("sample-new%d", time.Now().Unix()), 2<<20)
		}},
		{"upgraded package", d.repo.Upgrade},
		{"edited host", d.repo.EditHost},
		{"new host", d.repo.AddHost},
		{"deleted package", d.repo.Delete},
	}
	for i := 0; !once || i < len(changes); i++ {
		if !once {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-d.failed:
				return err
			case <-time.After(demoPause):
			}
		}
		c := changes[i%len(changes)]
		file, err := c.do()
		if err != nil {
			return fmt.Errorf("changing the sample repository: %w", err)
		}
		d.say("%s %s", c.what, file)
		if err := d.follow(ctx, func(r *demoRemote, t time.Duration) { r.slowest = max(r.slowest, t) }); err != nil {
			return d.end(err)
		}
	}
	return d.table()
}

// end shows in the table how a copy differs, where that is why it ends.
func (d *demo) end(err error) error {
	if errors.Is(err, errDiffers) {
		if tableErr := d.table(); tableErr != nil {
			return tableErr
		}
		return withCode(exitBehind, err)
	}
	return err
}

// follow waits until every remote's folders look like the main's and notes how
// long each took. It gives errDiffers for one that does not get there.
func (d *demo) follow(ctx context.Context, note func(*demoRemote, time.Duration)) error {
	begin := time.Now()
	tick := time.NewTicker(demoLook)
	defer tick.Stop()
	waiting := append([]*demoRemote(nil), d.remotes...)
	var outcome error
	for len(waiting) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-d.failed:
			return err
		case <-tick.C:
		}
		took := time.Since(begin)
		var still []*demoRemote
		for _, r := range waiting {
			diff, err := d.differs(r, false)
			if err != nil {
				return err
			}
			if diff != "" && took < demoPatience {
				still = append(still, r)
				continue
			}
			note(r, took)
			if diff != "" {
				d.say("  %-9s NOT THERE after %.0f s: %s", r.name, took.Seconds(), diff)
				outcome = errDiffers
			} else {
				d.say("  %-9s %.2f s", r.name, took.Seconds())
			}
		}
		waiting = still
	}
	return outcome
}

// differs compares a remote's folders with the main's: names, kinds, sizes and
// times, and the SHA-256 of all bytes if content is true.
func (d *demo) differs(r *demoRemote, content bool) (string, error) {
	for share, dir := range d.repo.Shares() {
		copied := filepath.Join(d.dir, r.name, "www", share)
		if _, err := os.Stat(copied); os.IsNotExist(err) {
			return share + " is missing", nil
		}
		diff, err := firstDifference(dir, copied, content)
		if err != nil {
			return "", fmt.Errorf("comparing %s of %s: %w", share, r.name, err)
		}
		if diff != "" {
			return share + "/" + diff, nil
		}
	}
	return "", nil
}

// table compares every byte and prints the outcome.
func (d *demo) table() error {
	d.say("")
	t := newTable(d.app.out)
	fmt.Fprintln(t, "REMOTE\tFILES\tBYTES\tON THE WIRE\tFIRST COPY\tSLOWEST CHANGE\tEQUAL")
	var outcome error
	for _, r := range d.remotes {
		diff, err := d.differs(r, true)
		if err != nil {
			return err
		}
		equal := "yes"
		if diff != "" {
			equal, outcome = "NO: "+diff, withCode(exitBehind, errDiffers)
		}
		files, bytes, err := count(filepath.Join(d.dir, r.name, "www"))
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%.2f s\t%.2f s\t%s\n", r.name, files, showBytes(bytes),
			showBytes(r.host.service.client.Received()), r.first.Seconds(), r.slowest.Seconds(), equal)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return outcome
}

func (d *demo) size() string {
	files, bytes, err := count(filepath.Join(d.dir, "main", "www"))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d files, %s", files, showBytes(bytes))
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.app.out, format+"\n", args...)
}
