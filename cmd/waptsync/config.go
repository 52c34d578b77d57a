package main

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"waptsync/bus"
	"waptsync/index"
	"waptsync/publisher"
)

// Common are the settings of every service.
type Common struct {
	PageConfig
	// Data is the folder of identity, store and state, mode 0700.
	Data string `toml:"data"`
	// LogLevel is trace, debug, info, warn or error.
	LogLevel string `toml:"log-level"`
	// LogFormat is console, json, or auto: console on a terminal.
	LogFormat string `toml:"log-format"`
}

// PublishConfig is the configuration of a main.
type PublishConfig struct {
	Common
	// Listen is where remotes connect, HOST:PORT; no host means every address.
	Listen string `toml:"listen"`
	// Advertise is the address that invitations name when it is not Listen.
	Advertise string `toml:"advertise"`
	// TLSCert and TLSKey are the administrator's own certificate, with its chain,
	// and key, PEM; without them the main makes its own CA.
	TLSCert string `toml:"tls-cert"`
	TLSKey  string `toml:"tls-key"`
	// Remotes is a list of remotes that configuration management keeps; the
	// main follows its changes.
	Remotes string `toml:"remotes"`
	// Window bounds, for each share, the store of new content that flows
	// through the bus once for all remotes; 0 turns it off.
	Window Size `toml:"window"`
	// MaxStore bounds the bus's whole store; 0 means a quarter of the free
	// disk, of a small one half.
	MaxStore Size `toml:"max-store"`
	// Tombstones is how long the bus remembers a deletion; a remote away
	// longer compares whole trees.
	Tombstones Duration `toml:"tombstones"`
	// Shares are the published folders by name.
	Shares map[string]PublishShare `toml:"share"`
}

// PublishShare is one published folder.
type PublishShare struct {
	// Dir is the folder, an absolute path.
	Dir string `toml:"dir"`
	// Exclude are further patterns of names that are not published.
	Exclude []string `toml:"exclude"`
	// NoMD5 leaves out the MD5 that WAPT's index is checked against; for
	// shares without an index it saves time.
	NoMD5 bool `toml:"no-md5"`
	// Rescan is the time between two scans of the whole folder; 0 means the default.
	Rescan Duration `toml:"rescan"`
	// Quiet is how long a file without a known writer must rest; 0 means the default.
	Quiet Duration `toml:"quiet"`
	// DeleteDelay is how long a name must be gone before its deletion is
	// published; 0 means the default.
	DeleteDelay Duration `toml:"delete-delay"`
	// HoldPaths and HoldPart say how much may vanish at once without an
	// administrator's word: a deletion beyond both is held. 0 means the default.
	HoldPaths int     `toml:"hold-paths"`
	HoldPart  float64 `toml:"hold-part"` // of the share's paths, 0 to 1
	// Index are the names of files that name other files, in the place of
	// WAPT's and Debian's: none is published before what it names.
	Index []string `toml:"index"`
	// IndexLimit is for how long an index waits for a file that is missing on
	// the main; 0 means the default.
	IndexLimit Duration `toml:"index-limit"`
	// IndexDelay is how long an index must be gone before its deletion is
	// published; 0 means the default.
	IndexDelay Duration `toml:"index-delay"`
}

func (s PublishShare) indexPatterns() []string {
	if s.Index == nil {
		return index.DefaultPatterns
	}
	return s.Index
}

// SubscribeConfig is the configuration of a remote.
type SubscribeConfig struct {
	Common
	ServeConfig
	JoinConfig
	// Trash is how long files that the main does not have are kept aside.
	Trash Duration `toml:"trash"`
	// Rescan is the time between two looks for local changes; 0 means the default.
	Rescan Duration `toml:"rescan"`
	// MinFree is what stays free on a share's disk.
	MinFree Size `toml:"min-free"`
	// Bandwidth is the remote's own rule for its line to the main.
	Bandwidth Bandwidth `toml:"bandwidth"`
	// Shares are the replicated folders by name.
	Shares map[string]SubscribeShare `toml:"share"`
}

// SubscribeShare is one replicated folder.
type SubscribeShare struct {
	// Dir is the folder, an absolute path; it is made when it is not there.
	Dir string `toml:"dir"`
	// Owner is USER:GROUP of all that is written, by name or number; empty is
	// the service's own user.
	Owner string `toml:"owner"`
	// FileMode and DirMode are octal, as 0640; empty copies the main's.
	FileMode string `toml:"file-mode"`
	DirMode  string `toml:"dir-mode"`
	// Index are the names of files that name other files, in the place of
	// WAPT's and Debian's: none becomes visible before what it names.
	Index []string `toml:"index"`
	// DeleteGrace is how long a file stays that only a replaced index named.
	DeleteGrace Duration `toml:"delete-grace"`
	// Adopt says what becomes of files that the main does not have and that did
	// not come from it: trash, the default, or keep, which leaves them alone.
	Adopt string `toml:"adopt"`
}

// What SubscribeShare.Adopt can be; empty is trash.
const (
	adoptTrash = "trash"
	adoptKeep  = "keep"
)

func (s SubscribeShare) indexPatterns() []string {
	if s.Index == nil {
		return index.DefaultPatterns
	}
	return s.Index
}

const defaultData = "/var/lib/waptsync"

func defaultCommon() Common {
	return Common{Data: defaultData, LogLevel: "info", LogFormat: "auto", PageConfig: PageConfig{HTTP: httpAuto, ReadyAge: Duration(time.Hour)}}
}

func defaultPublish() *PublishConfig {
	return &PublishConfig{Common: defaultCommon(), Listen: ":4222", Window: 2 << 30, Tombstones: Duration(90 * day)}
}

func defaultSubscribe() *SubscribeConfig {
	return &SubscribeConfig{Common: defaultCommon(), Trash: Duration(30 * day), MinFree: 256 << 20}
}

func (c *Common) bind(f *pflag.FlagSet) {
	f.Var((*pathFlag)(&c.Data), "data", "folder of identity, store and state, mode 0700")
	c.PageConfig.bind(f)
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "trace, debug, info, warn or error")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "console, json or auto (console on a terminal)")
}

func (c *PublishConfig) bind(f *pflag.FlagSet) {
	c.Common.bind(f)
	f.StringVar(&c.Listen, "listen", c.Listen, "where remotes connect, `HOST:PORT`")
	f.StringVar(&c.Advertise, "advertise", c.Advertise, "address that invitations name, `HOST:PORT`, when it is not --listen")
	f.Var((*fileFlag)(&c.TLSCert), "tls-cert", "own certificate with its chain, PEM, instead of the main's own CA")
	f.Var((*fileFlag)(&c.TLSKey), "tls-key", "its key, PEM")
	f.Var((*fileFlag)(&c.Remotes), "remotes", "list of remotes that configuration management keeps, TOML or JSON")
	f.Var(&c.Window, "window", "size of the store of new content, for each share; 0 turns it off")
	f.Var(&c.MaxStore, "max-store", "bound of the bus's whole store; 0 means a quarter of the free disk, of a small one half")
	f.Var(&c.Tombstones, "tombstones", "how long a deletion is remembered")
	f.Var(&shareFlag[PublishShare]{&c.Shares, func(s *PublishShare) *string { return &s.Dir }}, "share", "a folder to publish; may be repeated")
}

func (c *SubscribeConfig) bind(f *pflag.FlagSet) {
	c.Common.bind(f)
	c.ServeConfig.bind(f)
	c.JoinConfig.bind(f)
	f.Var(&c.Trash, "trash", "how long files that the main does not have are kept aside")
	f.Var(&c.Rescan, "rescan", "time between two looks for local changes; 0 means the default")
	f.Var(&c.MinFree, "min-free", "what stays free on a share's disk")
	f.Var(&c.Bandwidth, "bandwidth", "how much of the line to the main may be used, and when, as \"Mo-Fr 08:00-18:00 2 Mbit/s\"; see waptsync bandwidth")
	f.Var(&shareFlag[SubscribeShare]{&c.Shares, func(s *SubscribeShare) *string { return &s.Dir }}, "share", "a share and the folder that holds its copy; may be repeated")
}

// faults collects what is wrong with a configuration, all of it.
type faults []string

func (f *faults) add(key, format string, args ...any) {
	*f = append(*f, key+": "+fmt.Sprintf(format, args...))
}

func (c *Common) validate(f *faults) {
	if !filepath.IsAbs(c.Data) {
		f.add("data", "want an absolute path (got %q)", c.Data)
	}
	c.PageConfig.validate(f)
	if _, err := zerolog.ParseLevel(c.LogLevel); err != nil || c.LogLevel == "" {
		f.add("log-level", "want trace, debug, info, warn or error (got %q)", c.LogLevel)
	}
	if !slices.Contains([]string{"auto", "console", "json"}, c.LogFormat) {
		f.add("log-format", "want console, json or auto (got %q)", c.LogFormat)
	}
}

func (c *PublishConfig) validate() []string {
	var f faults
	c.Common.validate(&f)
	checkAddress(&f, "listen", c.Listen)
	if c.Advertise != "" {
		checkAddress(&f, "advertise", c.Advertise)
		if host, _, err := net.SplitHostPort(c.Advertise); err == nil && host == "" {
			f.add("advertise", "want a host that remotes can reach (got %q)", c.Advertise)
		}
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		f.add("tls-cert", "needs tls-key, and the other way round")
	}
	for key, path := range map[string]string{"tls-cert": c.TLSCert, "tls-key": c.TLSKey, "remotes": c.Remotes} {
		if path != "" && !filepath.IsAbs(path) {
			f.add(key, "want an absolute path (got %q)", path)
		}
	}
	if c.Window != 0 && c.Window < bus.MinWindow {
		f.add("window", "want 0 or at least 8MiB (got %s)", c.Window)
	}
	if c.MaxStore != 0 && c.MaxStore < c.Window*Size(max(1, len(c.Shares))) {
		f.add("max-store", "must hold one window for each share: %d times %s (got %s)", len(c.Shares), c.Window, c.MaxStore)
	}
	if c.Tombstones < Duration(day) {
		f.add("tombstones", "want at least 1d (got %s)", c.Tombstones)
	}
	dirs := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(c.Shares)) {
		s := c.Shares[name]
		dirs[name] = s.Dir
		checkDuration(&f, "share."+name+".rescan", s.Rescan)
		checkDuration(&f, "share."+name+".quiet", s.Quiet)
		checkDuration(&f, "share."+name+".delete-delay", s.DeleteDelay)
		if _, err := publisher.NewExcludes(s.Exclude); err != nil {
			f.add("share."+name+".exclude", "%v", err)
		}
		checkDuration(&f, "share."+name+".index-limit", s.IndexLimit)
		checkDuration(&f, "share."+name+".index-delay", s.IndexDelay)
		if _, err := index.NewRule(s.Index); err != nil {
			f.add("share."+name+".index", "%v", err)
		}
		if s.HoldPaths < 0 {
			f.add("share."+name+".hold-paths", "must not be negative (got %d)", s.HoldPaths)
		}
		if !(s.HoldPart >= 0 && s.HoldPart <= 1) {
			f.add("share."+name+".hold-part", "want 0 to 1 (got %v)", s.HoldPart)
		}
	}
	checkShares(&f, dirs, c.Data)
	return f
}

func (c *SubscribeConfig) validate() []string {
	var f faults
	c.Common.validate(&f)
	c.ServeConfig.validate(&f)
	c.JoinConfig.validate(&f)
	if c.HTTP != "" && !c.local() && c.ServeCert == "" {
		f.add("http", "want an address on loopback, or serve-cert and serve-key for TLS (got %q)", c.HTTP)
	}
	checkDuration(&f, "trash", c.Trash)
	checkDuration(&f, "rescan", c.Rescan)
	dirs := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(c.Shares)) {
		s := c.Shares[name]
		dirs[name] = s.Dir
		if _, err := parseOwner(s.Owner); err != nil {
			f.add("share."+name+".owner", "%v", err)
		}
		if _, err := parseMode(s.FileMode); err != nil {
			f.add("share."+name+".file-mode", "%v", err)
		}
		if _, err := parseMode(s.DirMode); err != nil {
			f.add("share."+name+".dir-mode", "%v", err)
		}
		if _, err := index.NewRule(s.Index); err != nil {
			f.add("share."+name+".index", "%v", err)
		}
		checkDuration(&f, "share."+name+".delete-grace", s.DeleteGrace)
		if !slices.Contains([]string{"", adoptTrash, adoptKeep}, s.Adopt) {
			f.add("share."+name+".adopt", "want %s or %s (got %q)", adoptTrash, adoptKeep, s.Adopt)
		}
	}
	checkShares(&f, dirs, c.Data)
	return f
}

// checkShares checks names and folders. Folders must not lie in each other:
// one change would have two events. Nor may the data folder be in one of them:
// keys would be published, and the store would publish itself.
func checkShares(f *faults, dirs map[string]string, data string) {
	if len(dirs) == 0 {
		f.add("share", "no share is configured: want for example --share wapt=/var/www/wapt")
	}
	names := slices.Sorted(maps.Keys(dirs))
	for i, name := range names {
		key, dir := "share."+name, dirs[name]
		if err := bus.ValidName(name); err != nil {
			f.add(key, "%v", err)
		}
		if !filepath.IsAbs(dir) {
			f.add(key+".dir", "want an absolute path (got %q)", dir)
			continue
		}
		if within(dir, data) || within(data, dir) {
			f.add(key+".dir", "%s and the data folder %s must not lie in each other", dir, data)
		}
		for _, other := range names[i+1:] {
			if o := dirs[other]; within(dir, o) || within(o, dir) {
				f.add(key+".dir", "%s and share.%s's %s must not lie in each other", dir, other, o)
			}
		}
	}
}

// within says whether path is dir or lies in it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func checkDuration(f *faults, key string, d Duration) {
	if d < 0 {
		f.add(key, "must not be negative (got %s)", d)
	}
}

func checkAddress(f *faults, key, address string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		f.add(key, "want HOST:PORT (got %q)", address)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		f.add(key, "port %q is not between 0 and 65535", port)
	}
}
