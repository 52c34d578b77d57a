package subscriber

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"waptsync/bus"
)

func TestNamesThatWindowsRefuses(t *testing.T) {
	refused := []string{
		"CON", "con", "prn", "Aux", "nul", "NUL.txt", "nul.tar.gz", "NUL .txt", "COM0", "com1", "COM9.log", "LPT1", "lpt9", "COM¹", "lpt³.x",
		"CONIN$", "conout$",
		"dot.", "dots...", "space ", "space. ", "...", " ",
		"a<b", "a>b", "a:b", `a"b`, "a|b", "a?b", "*", "file:$DATA", "file::$DATA", "C:", "C:x",
		`a\b`, `..\up`, `\\server\share`, `\`, "tab\tin", "new\nline", "bell\a", "nul\x00",
		"bad\xff", "\xed\xa0\x80",
		".WAPTSYNC", ".WaptSync", "WAPTSY~1", "waptsy~2", "wa1f3c~1",
		"", "a//b",
	}
	for _, p := range refused {
		for _, path := range []string{p, "dir/" + p, p + "/file"} {
			if err := refusedByWindows(path); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("%q: %v", path, err)
			}
		}
	}
	for _, p := range []string{
		"a", "Packages.gz", ".htaccess", "with space", "élan", "日本語", "CONSOLE", "con1", "com", "COM10", "com1a", "lpt", "nulls", "a.con", "x.nul",
		".waptsync", "waptsy~1.exe", "WAPTSY", "file~", "back`tick", "a'b", "a&b", "[x]", "..a", strings.Repeat("n", 255),
	} {
		for _, path := range []string{p, "dir/" + p, p + "/file"} {
			if err := refusedByWindows(path); err != nil {
				t.Errorf("%q: %v", path, err)
			}
		}
	}
}

func TestOnlyWindowsRefusesItsNames(t *testing.T) {
	file := func(p string) bus.Event { return bus.Event{Kind: bus.KindFile, Path: p} }
	link := func(target string) bus.Event { return bus.Event{Kind: bus.KindSymlink, Path: "l", Target: target} }
	for name, c := range map[string]struct {
		goos    string
		ev      bus.Event
		refused bool
	}{
		"a device":                {"windows", file("dir/nul"), true},
		"a device elsewhere":      {"linux", file("dir/nul"), false},
		"a stream elsewhere":      {"darwin", file("a:b"), false},
		"a good file":             {"windows", file("dir/file"), false},
		"a directory":             {"windows", bus.Event{Kind: bus.KindDir, Path: "dir."}, true},
		"its deletion":            {"windows", bus.Event{Kind: bus.KindDeleted, Path: "dir."}, false},
		"a link to a drive":       {"windows", link("C:/Windows"), true},
		"a link to a stream":      {"windows", link("../a:b"), true},
		"a link with backslashes": {"windows", link(`..\..\x`), true},
		"a good link":             {"windows", link("../dir/./file"), false},
		"a link's own name":       {"windows", bus.Event{Kind: bus.KindSymlink, Path: "aux", Target: "x"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := refusedOn(c.goos, &c.ev); (err != nil) != c.refused {
				t.Error(err)
			}
			if p := problemOf("judging the name", refusedOn(c.goos, &c.ev)); c.refused && (p.hint == "" || !p.slow) {
				t.Errorf("%+v says nothing to an administrator", p)
			}
		})
	}
}

// Names that the replica makes itself must be good everywhere.
func TestOwnNamesAreGoodOnWindows(t *testing.T) {
	s := stage{dir: testFolder(t)}
	for range 100_000 {
		bay, name := split(s.name())
		for _, n := range []string{bay, name} {
			if n != "" && oddOnWindows(n) != "" {
				t.Fatalf("%q: %s", n, oddOnWindows(n))
			}
		}
	}
}
