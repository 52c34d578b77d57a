//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"waptsync/bench/table"
)

// edition is one version as a file, ready to be put into the repository.
type edition struct{ name, file string }

// releases puts real next versions into a repository, each under a new name,
// with the old one removed after it, as an administrator's upload does.
func releases(ctx context.Context, t *trial) error {
	s, err := t.open(0, t.count(200))
	if err != nil {
		return err
	}
	defer s.close()
	all := released[:max(2, min(t.count(len(released)), len(released)))]
	lines := make(map[string][]edition)
	var order []string
	for _, r := range all {
		for _, version := range r.versions {
			d, err := r.fetch(ctx, version)
			if err != nil {
				return err
			}
			e := edition{fmt.Sprintf("tis-%s_%s_x64.wapt", r.name(), strings.TrimPrefix(version, "v")), d.Zip}
			lines[r.name()] = append(lines[r.name()], e)
		}
		order = append(order, r.name())
	}
	// One stream for the whole package: what is behind the first change is all new.
	for _, r := range all[:min(3, len(all))] {
		name := r.name() + " deb"
		for _, version := range r.versions[len(r.versions)-2:] {
			e, err := s.debianPackage(ctx, r, version)
			if err != nil {
				return err
			}
			lines[name] = append(lines[name], e)
		}
		order = append(order, name)
	}
	for _, name := range order {
		if err := s.put(lines[name][0]); err != nil {
			return err
		}
	}
	if err := s.make.Index(filepath.Join(s.src, packages)); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	for _, name := range order {
		if err := s.releases(ctx, name, lines[name]); err != nil {
			return err
		}
	}
	return nil
}

// releases upgrades through all versions of one program, and emits their sums.
func (s *scene) releases(ctx context.Context, name string, editions []edition) error {
	var sums []table.Figure
	add := func(name string, v float64) {
		for i := range sums {
			if sums[i].Name == name {
				sums[i].Value += v
				return
			}
		}
		sums = append(sums, table.Figure{Name: name, Value: v})
	}
	for i, next := range editions[1:] {
		before := editions[i]
		var changed time.Time
		f, err := s.change(ctx, func() error {
			defer func() { changed = time.Now() }()
			if err := s.put(next); err != nil {
				return err
			}
			if err := s.make.Remove(filepath.Join(s.src, packages, before.name)); err != nil {
				return err
			}
			return s.make.Index(filepath.Join(s.src, packages))
		})
		if err != nil {
			return fmt.Errorf("%s to %s: %w", before.name, next.name, err)
		}
		add("wire_kB", f[1].Value*1e3)
		info, err := os.Stat(next.file)
		if err != nil {
			return err
		}
		add("new_kB", float64(info.Size())/1e3)
		if strings.HasSuffix(next.name, ".wapt") {
			packed, members, err := changedMembers(before.file, next.file)
			if err != nil {
				return err
			}
			add("changed_members_kB", float64(members)/1e3)
			add("names_kB", float64(info.Size()-packed)/1e3)
		}
		add("seconds", f[0].Value)
		usable, err := s.usable(next.name)
		if err != nil {
			return err
		}
		add("usable_s", usable.Sub(changed).Seconds())
	}
	s.emit(s.workload.name+" "+name, append(sums, table.Figure{Name: "upgrades", Value: float64(len(editions) - 1)})...)
	return nil
}

func (s *scene) put(e edition) error {
	f, err := os.Open(e.file)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.make.Package(filepath.Join(s.src, packages, e.name), f)
}

// debianPackage builds a package of a module's files, as a Debian archive has it.
func (s *scene) debianPackage(ctx context.Context, r series, version string) (edition, error) {
	name := fmt.Sprintf("golang-%s_%s_all.deb", strings.ReplaceAll(r.name(), ".", "-"), strings.TrimPrefix(version, "v"))
	e := edition{name, filepath.Join(s.work, name)} // for all systems of this run
	if _, err := os.Stat(e.file); err == nil {
		return e, nil
	}
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		return e, fmt.Errorf("needs dpkg-deb: %w", err)
	}
	d, err := r.fetch(ctx, version)
	if err != nil {
		return e, err
	}
	root := filepath.Join(s.dir, "deb", name)
	if err := os.MkdirAll(filepath.Join(root, "usr/share/gocode"), 0o755); err != nil {
		return e, err
	}
	if err := os.CopyFS(filepath.Join(root, "usr/share/gocode", r.name()), os.DirFS(d.Dir)); err != nil {
		return e, fmt.Errorf("building %s: %w", name, err)
	}
	control := fmt.Sprintf("Package: golang-%s\nVersion: %s\nArchitecture: all\nMaintainer: bench <bench@localhost>\nDescription: %s\n",
		strings.ReplaceAll(r.name(), ".", "-"), strings.TrimPrefix(version, "v"), r.module)
	if err := os.Mkdir(filepath.Join(root, "DEBIAN"), 0o755); err != nil {
		return e, err
	}
	if err := os.WriteFile(filepath.Join(root, "DEBIAN/control"), []byte(control), 0o644); err != nil {
		return e, err
	}
	out, err := exec.CommandContext(ctx, "dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, e.file).CombinedOutput()
	if err != nil {
		return e, fmt.Errorf("building %s: %w: %s", name, err, out)
	}
	return e, os.RemoveAll(root)
}
