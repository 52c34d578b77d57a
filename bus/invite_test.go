package bus

import (
	"encoding/base64"
	"strings"
	"testing"
)

const testFingerprint = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func testLine(t testing.TB) string {
	t.Helper()
	line, _, err := newInvitationLine("colmar", "main.example.org:4222", testFingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

func TestInvitationLineSurvivesMail(t *testing.T) {
	line, public, err := newInvitationLine("colmar", "[2001:db8::1]:4222", testFingerprint)
	if err != nil {
		t.Fatal(err)
	}
	for what, sent := range map[string]string{
		"as it is":   line,
		"wrapped":    line[:40] + "\r\n  " + line[40:] + "\n",
		"with space": " \t" + line + "\u00a0",
	} {
		l, err := decodeInvitation(sent)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		key, err := l.key()
		if err != nil {
			t.Fatal(err)
		}
		got, err := key.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		if l.Name != "colmar" || l.Address != "[2001:db8::1]:4222" || got != public || l.Trust.fingerprint[1] != 0x11 {
			t.Errorf("%s: got %+v", what, l)
		}
	}
}

func TestMangledInvitationIsNamedSo(t *testing.T) {
	line := testLine(t)
	for what, mangled := range map[string]string{
		"cut":          line[:len(line)-1],
		"half":         line[:len(line)/2],
		"prefix only":  linePrefix,
		"more":         line + "A",
		"twice":        line + line,
		"a char other": line[:30] + flip(line[30]) + line[31:],
		"very long":    linePrefix + strings.Repeat("A", 1<<20),
	} {
		if _, err := decodeInvitation(mangled); err == nil || err.Error() != errMangledLine.Error() {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, other := range []string{"", "x", "waptsync2-AAAA", "SUAPLENTY"} {
		if _, err := decodeInvitation(other); err == nil || !strings.Contains(err.Error(), "this is no invitation") {
			t.Errorf("%q: got %v", other, err)
		}
	}
}

func flip(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

func TestInvitationWantsAnAddress(t *testing.T) {
	for _, address := range []string{
		"", "main", ":4222", "main:", "main:0", "main:65536", "main:x", "a b:1", "user@main:1", "main/x:1", "2001:db8::1:4222", strings.Repeat("a", 300) + ":1",
	} {
		if _, _, err := newInvitationLine("colmar", address, testFingerprint); err == nil {
			t.Errorf("address %q was taken", address)
		}
	}
	for _, fingerprint := range []string{"", "00", testFingerprint[1:] + "x", pinnedText, pinnedText + "00", "System"} {
		if _, _, err := newInvitationLine("colmar", "main:4222", fingerprint); err == nil {
			t.Errorf("fingerprint %q was taken", fingerprint)
		}
	}
}

func FuzzDecodeInvitation(f *testing.F) {
	f.Add(testLine(f))
	for _, trusted := range []string{systemText, pinnedText + testFingerprint} {
		line, _, err := newInvitationLine("colmar", "main.example.org:4222", trusted)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Add(linePrefix)
	f.Add(linePrefix + base64.RawURLEncoding.EncodeToString(make([]byte, 80)))
	f.Add("waptsync1-\n\t")
	f.Fuzz(func(t *testing.T, line string) {
		l, err := decodeInvitation(line)
		if err != nil {
			return
		}
		again, err := decodeInvitation(l.encode())
		if err != nil || *again != *l {
			t.Fatalf("%q decodes to %+v, which does not survive: %+v, %v", line, l, again, err)
		}
		if _, err := l.key(); err != nil {
			t.Fatal(err)
		}
	})
}
