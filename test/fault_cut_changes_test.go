//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sameName is a package that keeps its name when its content changes.
const sameName = "tis-same.wapt"

// burst makes n changes, or fewer when stop is closed.
func (c *cutting) burst(n int, stop <-chan struct{}) {
	wrote := func(share, path string) {
		sum := fileSum(c.m.dir(share), path)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.later[share+"/"+path] = append(c.later[share+"/"+path], sum)
	}
	deletions := 60 // more than 100 at once would be held for an administrator
	for range n {
		select {
		case <-stop:
			return
		default:
		}
		switch c.rng.IntN(6) {
		case 0:
			c.repo.replace(c.repo.dir, sameName, c.rng.data(c.rng.between(100, 50_000)))
			c.repo.name(sameName)
			wrote("wapt", sameName)
			c.repo.index()
			wrote("wapt", "Packages")
		case 1:
			if deletions == 0 {
				continue
			}
			deletions--
			i := c.rng.IntN(len(c.apps))
			old := c.apps[i]
			c.apps[i] = c.repo.add(fmt.Sprintf("tis-app%02d", i), fmt.Sprintf("1-%d", c.rng.Uint32()), c.rng.between(10_000, 400_000))
			wrote("wapt", c.apps[i])
			c.repo.index()
			wrote("wapt", "Packages")
			c.repo.remove(old)
			wrote("wapt", old)
			c.repo.index()
			wrote("wapt", "Packages")
		case 2:
			for range min(c.rng.between(1, 12), deletions) {
				deletions--
				i := c.rng.IntN(len(c.hosts))
				old := c.hosts[i]
				c.hosts[i] = c.repo.addHosts(1)[0]
				wrote("wapt-host", c.hosts[i])
				check(c.t, os.Remove(filepath.Join(c.m.dir("wapt-host"), old)))
				wrote("wapt-host", old)
			}
		case 3:
			deletions -= c.folder(wrote, deletions)
		default:
			for range c.rng.between(1, 10) {
				h := c.hosts[c.rng.IntN(len(c.hosts))]
				c.repo.host(h)
				wrote("wapt-host", h)
			}
		}
	}
}

// folder makes a folder of new files in one of those that are there, and renames
// one of its files; the oldest goes when there are many. It returns how many
// paths went.
func (c *cutting) folder(wrote func(share, path string), most int) (gone int) {
	dir := c.m.dir("wapt")
	parent := "."
	if n := len(c.folders); n > 0 && c.rng.IntN(2) == 0 {
		parent = c.folders[c.rng.IntN(n)]
	}
	at := filepath.Join(parent, fmt.Sprintf("more-%08x", c.rng.Uint32()))
	if strings.Count(at, "/") > 3 || most < 20 {
		return 0
	}
	makeDirs(c.t, filepath.Join(dir, at))
	c.folders = append(c.folders, at)
	for i := range c.rng.between(1, 12) {
		name := filepath.Join(at, fmt.Sprint("f", i))
		write(c.t, c.rng.data(c.rng.between(1, []int{1000, 30_000, 300_000}[c.rng.IntN(3)])), dir, name)
		wrote("wapt", name)
		if c.rng.IntN(4) == 0 {
			check(c.t, os.Rename(filepath.Join(dir, name), filepath.Join(dir, name+".renamed")))
			wrote("wapt", name+".renamed")
			wrote("wapt", name)
			gone++
		}
	}
	oldest := c.folders[0]
	inIt := fileSums(c.t, filepath.Join(dir, oldest))
	if len(c.folders) < 20 || len(inIt)+gone > most {
		return gone
	}
	check(c.t, os.RemoveAll(filepath.Join(dir, oldest)))
	for name := range inIt {
		wrote("wapt", filepath.Join(oldest, name))
	}
	c.folders = slices.DeleteFunc(c.folders, func(f string) bool { return f == oldest || beneath(f, oldest) })
	return gone + len(inIt)
}
