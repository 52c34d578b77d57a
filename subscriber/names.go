package subscriber

import (
	"fmt"
	"strings"
	"syscall"
	"unicode/utf8"

	"waptsync/bus"
)

// refusedOn says why a replica on that operating system must not make what ev
// tells, or nil. A deletion is never refused: there is nothing of that name to
// delete, and it ends the problem that the name was.
func refusedOn(goos string, ev *bus.Event) error {
	if goos != "windows" || ev.Kind == bus.KindDeleted {
		return nil
	}
	if err := refusedByWindows(ev.Path); err != nil {
		return err
	}
	for element := range strings.SplitSeq(ev.Target, "/") {
		if element == "" || element == "." || element == ".." {
			continue
		}
		if err := refusedByWindows(element); err != nil {
			return fmt.Errorf("target of the link: %w", err)
		}
	}
	return nil
}

// refusedByWindows says why Windows cannot hold the path, or would take it for
// another one: its devices, streams ("a:b"), separators, and the names that it
// shortens. See "Naming Files, Paths, and Namespaces" of its documentation. The
// error wraps EINVAL.
func refusedByWindows(p string) error {
	for element := range strings.SplitSeq(p, "/") {
		if why := oddOnWindows(element); why != "" {
			return fmt.Errorf("%q: Windows refuses %s: %w", element, why, syscall.EINVAL)
		}
	}
	return nil
}

func oddOnWindows(name string) string {
	if name == "" {
		return "an empty name"
	}
	if !utf8.ValidString(name) {
		return "what is no UTF-8"
	}
	for _, c := range name {
		if c < ' ' || strings.ContainsRune(`<>:"|?*\/`, c) {
			return fmt.Sprintf("the character %q", c)
		}
	}
	if last := name[len(name)-1]; last == '.' || last == ' ' {
		return "a dot or a space at the end"
	}
	stem, _, _ := strings.Cut(name, ".") // "NUL.txt" is a device, and so is "NUL .txt"
	if device(strings.ToUpper(strings.TrimRight(stem, " "))) {
		return "the name of a device"
	}
	if name != hidden && (strings.EqualFold(name, hidden) || shortOfHidden(name)) {
		return "a name that may mean the replica's own folder"
	}
	return ""
}

// device says whether Windows has a device of that upper-case name, COM¹ to COM³
// included.
func device(stem string) bool {
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	number, ok := strings.CutPrefix(stem, "COM")
	if !ok {
		number, ok = strings.CutPrefix(stem, "LPT")
	}
	return ok && utf8.RuneCountInString(number) == 1 && strings.Contains("0123456789¹²³", number)
}

// shortOfHidden says whether name can be the 8.3 name of the hidden folder:
// "WAPTSY~1", or "WA" with a hash when others have taken the first few.
func shortOfHidden(name string) bool {
	stem, number, ok := strings.Cut(name, "~")
	return ok && len(name) <= 8 && len(stem) >= 2 && strings.EqualFold(stem[:2], hidden[1:3]) &&
		number != "" && strings.Trim(number, "0123456789") == ""
}
