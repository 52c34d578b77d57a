//go:build linux

package deploy

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mostImage is what docs/installing.md promises of the image, in bytes.
const mostImage = 40 << 20

// topology is docker-compose.yml, running as a project of its own.
type topology struct {
	compose []string
	project string
	image   string
}

// TestContainersConvergeThroughCutsAndKills runs docker-compose.yml as it is: a
// main, two remotes, and one behind a remote, each on its own network.
func TestContainersConvergeThroughCutsAndKills(t *testing.T) {
	if testing.Short() {
		t.Skip("starts containers")
	}
	p := startTopology(t)
	remotes := []string{"colmar", "mulhouse", "thann"}
	for _, r := range remotes {
		p.healthy(t, r)
	}

	// A cut: colmar, and with it thann, hear nothing, mulhouse goes on.
	network := p.project + "_main-colmar"
	run(t, "docker", "network", "disconnect", network, p.container("colmar"))
	p.changes(t, 6)
	// Kills amid changes, and a second `up` brings all back.
	run(t, "docker", "kill", p.container("main"), p.container("mulhouse"))
	p.changes(t, 3)
	p.run(t, "up", "-d", "--no-build")
	p.healthy(t, "mulhouse")
	run(t, "docker", "network", "connect", network, p.container("colmar"))
	run(t, "docker", "kill", p.container("relay"), p.container("thann"), p.container("colmar"))
	p.changes(t, 3)
	p.run(t, "up", "-d", "--no-build")
	p.changes(t, 3)
	p.run(t, "stop", "generator")

	for _, r := range remotes {
		eventually(t, r+"'s tree is the main's", time.Minute, func() (bool, string) {
			main, err := p.tree(t, "main")
			if err != nil {
				return false, err.Error()
			}
			remote, err := p.tree(t, r)
			if err != nil {
				return false, err.Error()
			}
			diff := firstDifference(main, remote)
			return diff == "", diff
		})
		p.healthy(t, r)
	}
}

// startTopology builds the image, starts the containers and takes all away at
// the test's end.
func startTopology(t *testing.T) *topology {
	t.Helper()
	need(t, "docker")
	if out, err := try(t, "docker", "version"); err != nil {
		t.Skipf("no Docker engine answers: not tested here: %s", out)
	}
	p := &topology{compose: []string{"docker", "compose"}, project: "waptsync-test-" + strconv.Itoa(os.Getpid())}
	p.image = p.project + ":local"
	if _, err := try(t, "docker", "compose", "version"); err != nil {
		need(t, "docker-compose")
		p.compose = []string{"docker-compose"}
	}
	buildImage(t, p.image)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := p.command("logs", "--no-color", "--tail", "30").CombinedOutput()
			t.Logf("logs:\n%s", out)
		}
		// The test's own context has ended.
		if out, err := p.command("down", "-v", "--remove-orphans", "-t", "5").CombinedOutput(); err != nil {
			t.Errorf("taking the containers away: %v\n%s", err, out)
		}
		if out, err := exec.Command("docker", "rmi", "-f", p.image).CombinedOutput(); err != nil {
			t.Errorf("removing the image: %v\n%s", err, out)
		}
	})
	p.run(t, "up", "-d", "--no-build")
	return p
}

// buildImage builds the last stage of the Dockerfile from the test's own binary:
// the stage before it needs an image that is not on every machine.
func buildImage(t *testing.T, image string) {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, found := strings.Cut(string(text), "\nFROM scratch\n")
	if !found {
		t.Fatal("the Dockerfile has no last stage FROM scratch")
	}
	last = strings.NewReplacer("--from=build ", "", " /rootfs/ ", " rootfs/ ").Replace(last)
	put(t, filepath.Join(dir, "Dockerfile"), "FROM scratch\n"+last, time.Now())
	for name, mode := range map[string]os.FileMode{"data": 0o700, "www": 0o755, "invitations": 0o755} {
		path := filepath.Join(dir, "rootfs", name)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "cp", program, filepath.Join(dir, "rootfs", "waptsync"))
	run(t, "docker", "build", "-q", "-t", image, dir)
	fields := strings.Fields(run(t, "docker", "inspect", "-f", "{{.Size}} {{.Config.User}} {{if .Config.Healthcheck}}checked{{end}}", image))
	size, err := strconv.Atoi(fields[0])
	if err != nil || size >= mostImage || len(fields) != 3 || fields[1] == "0" || fields[1] == "root" {
		t.Errorf("the image has size, user and health check %q, %v", fields, err)
	}
}

func (p *topology) command(args ...string) *exec.Cmd {
	args = slices.Concat(p.compose[1:], []string{"-f", "../docker-compose.yml", "-p", p.project}, args)
	cmd := exec.Command(p.compose[0], args...)
	cmd.Env = append(os.Environ(), "WAPTSYNC_IMAGE="+p.image)
	return cmd
}

func (p *topology) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("compose %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// container is a service's container; old and new Compose join its name otherwise.
func (p *topology) container(service string) string {
	if len(p.compose) == 1 {
		return p.project + "_" + service + "_1"
	}
	return p.project + "-" + service + "-1"
}

// healthy waits until a remote's own status says that it is up to date.
func (p *topology) healthy(t *testing.T, service string) {
	t.Helper()
	eventually(t, service+" is up to date", time.Minute, func() (bool, string) {
		out, err := try(t, "docker", "exec", p.container(service), "/waptsync", "status")
		return err == nil, out
	})
}

// changes waits until the generator made n more changes.
func (p *topology) changes(t *testing.T, n int) {
	t.Helper()
	made := func() int { return strings.Count(run(t, "docker", "logs", p.container("generator")), "\n") }
	goal := made() + n
	eventually(t, "the generator changes the repository", time.Minute, func() (bool, string) {
		now := made()
		return now >= goal, fmt.Sprintf("%d of %d changes", now, goal)
	})
}

// tree reads a container's copies from outside. What vanishes meanwhile is an error.
func (p *topology) tree(t *testing.T, service string) (map[string]entry, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "docker", "cp", p.container(service)+":/www", "-")
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	archive, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w: %s", service, err, trouble.Bytes())
	}
	tree := make(map[string]entry)
	r := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return tree, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", service, err)
		}
		// www/<share>/.waptsync
		if parts := strings.Split(strings.TrimSuffix(h.Name, "/"), "/"); len(parts) < 2 || len(parts) > 2 && parts[2] == ".waptsync" {
			continue
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			return nil, fmt.Errorf("reading %s: %w", service, err)
		}
		e := entry{what: fmt.Sprintf("%c %o %d %s %x", h.Typeflag, h.Mode, h.Size, h.Linkname, sum.Sum(nil))}
		if h.Typeflag == tar.TypeReg {
			e.mtime = h.ModTime
		}
		tree[h.Name] = e
	}
}

// entry is what two trees are compared by: kind, mode, size, target, digest, and
// the time of files.
type entry struct {
	what  string
	mtime time.Time
}

// firstDifference names a path in which a copy differs. A copy's time may be
// whole seconds ahead, where a content changed twice within one.
func firstDifference(main, remote map[string]entry) string {
	for path, m := range main {
		r, there := remote[path]
		if ahead := r.mtime.Sub(m.mtime); !there || r.what != m.what || ahead < 0 || ahead > time.Minute {
			return fmt.Sprintf("%s: %v, want %v", path, r, m)
		}
	}
	for path := range remote {
		if _, there := main[path]; !there {
			return path + " should not be there"
		}
	}
	return ""
}
