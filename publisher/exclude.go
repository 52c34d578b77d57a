package publisher

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// namePattern is a pattern of names, and how all names that match it begin and end:
// a scan asks for each name, and a regular expression costs as much as its lstat.
type namePattern struct {
	begins, ends string
	pattern      *regexp.Regexp
}

func (p *namePattern) match(name string) bool {
	return strings.HasPrefix(name, p.begins) && strings.HasSuffix(name, p.ends) && p.pattern.MatchString(name)
}

// Temporary names that WAPT and common writers put beside their target and
// rename away. They are matched against the base name of files; a directory may
// well be called "waptserver".
var temporaryNames = []namePattern{
	// WAPT's uploads: tempfile.mktemp with the prefix "wapt" and no extension.
	{"wapt", "", regexp.MustCompile(`^wapt[A-Za-z0-9_]{6,8}$`)},
	// WAPT's index before it is moved onto Packages.
	{"Packages.", "", regexp.MustCompile(`^Packages\.[0-9]{14}$`)},
	// WAPT's agent installer, before werkzeug strips the dot.
	{".waptagent.exe", "", regexp.MustCompile(`^\.waptagent\.exe$`)},
	// vim, emacs, and the backups of many editors.
	{".", "", regexp.MustCompile(`^\..*\.sw[a-z]$`)},
	{".#", "", regexp.MustCompile(`^\.#`)},
	{"", "~", regexp.MustCompile(`~$`)},
	// Syncthing.
	{"", ".tmp", regexp.MustCompile(`^(\.syncthing\.|~syncthing~).*\.tmp$`)},
	// Downloads and WinSCP.
	{"", "part", regexp.MustCompile(`\.(part|filepart)$`)},
	// Files deleted while open, on NFS and FUSE.
	{".", "", regexp.MustCompile(`^\.(nfs[0-9a-f]{8,}|fuse_hidden[0-9a-f]+)$`)},
}

// rsyncName is rsync's ".name.XXXXXX". Six lower-case letters alone do not
// count, so that ".site.config" is an ordinary file: one temporary name of 180
// is then taken for one too, and withdrawn when rsync renames it.
var rsyncName = regexp.MustCompile(`^\..+\.([A-Za-z0-9]{6})$`)

// topNames are ignored at the top of a share, with all that is beneath.
var topNames = map[string]bool{
	".waptsync":   true, // a subscriber's stage and trash, when this folder is a remote's too
	".stfolder":   true, // Syncthing's marker and versions, in a folder that it served before
	".stversions": true,
	"lost+found":  true, // of a file system of its own
}

// Excludes decides which paths of a share are none of its content. Other names
// that begin with a dot, .htaccess say, are content.
type Excludes struct {
	base  []string // patterns of a base name
	whole []string // patterns of a path
}

// NewExcludes adds patterns to the defaults, in the syntax of [path.Match]: one
// with a '/' must match the path from the share's top, another the last element,
// in any folder. What is beneath an excluded folder is excluded too.
func NewExcludes(patterns []string) (*Excludes, error) {
	x := &Excludes{}
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("exclude pattern %q: %w", p, err)
		}
		if trimmed := strings.TrimPrefix(p, "/"); strings.Contains(p, "/") {
			x.whole = append(x.whole, strings.TrimSuffix(trimmed, "/"))
		} else {
			x.base = append(x.base, p)
		}
	}
	return x, nil
}

// Match says whether p itself is excluded, not looking at the folders above.
func (x *Excludes) Match(p string, isDir bool) bool {
	name := p[strings.LastIndexByte(p, '/')+1:]
	if len(name) == len(p) && topNames[name] {
		return true
	}
	if isDir {
		// rsync --delay-updates gathers complete files here.
		if name == ".~tmp~" {
			return true
		}
	} else if temporary(name) {
		return true
	}
	for _, pattern := range x.base {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	for _, pattern := range x.whole {
		if ok, _ := path.Match(pattern, p); ok {
			return true
		}
	}
	return false
}

// MatchAbove says whether a folder above p is excluded.
func (x *Excludes) MatchAbove(p string) bool {
	for i := range len(p) {
		if p[i] == '/' && x.Match(p[:i], true) {
			return true
		}
	}
	return false
}

func temporary(name string) bool {
	for i := range temporaryNames {
		if temporaryNames[i].match(name) {
			return true
		}
	}
	if !strings.HasPrefix(name, ".") {
		return false
	}
	m := rsyncName.FindStringSubmatch(name)
	return m != nil && strings.ContainsAny(m[1], "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
}
