//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are what the flags say.
type options struct {
	only      []workload
	systems   []string
	scale     float64
	runs      int
	rate      int64 // bits per second; 0 is the machine's own speed
	timeout   time.Duration
	waptsync  string // binary; empty means that it is built
	syncthing string
	work      string
	out       string
	keep      bool
	list      bool

	files    []int // of the workload scale
	rewrites int
	remotes  int
	hugeGB   int
	shareGB  int
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	only := f.String("only", "", "workloads, comma-separated; default: all but those that -list marks")
	systems := f.String("systems", "waptsync,rsync,lsyncd,syncthing,rclone", "systems, comma-separated; what is not installed is left out")
	f.Float64Var(&o.scale, "scale", 1, "share of the full sizes and counts")
	f.IntVar(&o.runs, "runs", 1, "runs of each; the table has the medians")
	rate := f.Float64("rate", 0, "limit the line for all workloads, in Mbit/s")
	f.DurationVar(&o.timeout, "timeout", 30*time.Minute, "how long trees may differ before a measurement fails")
	f.StringVar(&o.waptsync, "waptsync", "", "binary under test; default: built from this source")
	f.StringVar(&o.syncthing, "syncthing", "syncthing", "Syncthing's binary")
	f.StringVar(&o.work, "work", os.TempDir(), "folder in which a work folder is made")
	f.StringVar(&o.out, "out", "bench/out", "folder for results.jsonl and table.md")
	f.BoolVar(&o.keep, "keep", false, "keep the trees and logs")
	f.BoolVar(&o.list, "list", false, "print the workloads")
	files := f.String("files", "10000,100000,1000000", "numbers of files for the workload scale")
	f.IntVar(&o.rewrites, "rewrites", 200_000, "host packages of the workload rewrite")
	f.IntVar(&o.remotes, "remotes", 50, "remotes of the workload fanout")
	f.IntVar(&o.hugeGB, "huge-gb", 10, "size of the file of the workload huge")
	f.IntVar(&o.shareGB, "share-gb", 100, "size of the share of the workload share")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	o.rate = int64(*rate * 1e6)
	o.systems = strings.Split(*systems, ",")
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	if o.scale <= 0 || o.runs < 1 || *rate < 0 {
		return nil, errors.New("-scale and -runs must be more than 0, and -rate not less")
	}
	for _, w := range workloads {
		if *only == "" && !w.long {
			o.only = append(o.only, w)
		}
	}
	for _, n := range strings.FieldsFunc(*only, func(r rune) bool { return r == ',' }) {
		i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == n })
		if i < 0 {
			return nil, fmt.Errorf("-only: there is no workload %q; -list prints them", n)
		}
		o.only = append(o.only, workloads[i])
	}
	for _, n := range strings.Split(*files, ",") {
		k, err := strconv.Atoi(n)
		if err != nil || k < 1 {
			return nil, fmt.Errorf("-files: %q is no number of files", n)
		}
		o.files = append(o.files, k)
	}
	if _, err := pick(kinds(o), o.systems); err != nil {
		return nil, fmt.Errorf("-systems: %w", err)
	}
	return o, nil
}

// scaled is a size or count at the run's scale, at least 1.
func (o *options) scaled(n int64) int64 { return max(1, int64(float64(n)*o.scale)) }

func (o *options) count(n int) int { return int(o.scaled(int64(n))) }
