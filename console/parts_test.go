package console

import (
	"encoding/json"
	"io/fs"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRateFollowsATotal(t *testing.T) {
	m := make(meters)
	now := testNow
	if r := m.rate("a", 1000, now); r != 0 {
		t.Errorf("first look: %v, want 0", r)
	}
	// Looked at each second; the total moves every two, as a remote reports.
	var got float64
	for i := 1; i <= 20; i++ {
		got = m.rate("a", 1000+int64(i/2)*2000, now.Add(time.Duration(i)*time.Second))
	}
	if math.Abs(got-1000) > 1 {
		t.Errorf("rate %v, want 1000", got)
	}
	if got = m.rate("a", 21000, now.Add(30*time.Second)); got != 0 {
		t.Errorf("standing still: %v, want 0", got)
	}
	if got = m.rate("a", 5, now.Add(31*time.Second)); got != 0 {
		t.Errorf("began anew: %v, want 0", got)
	}
	m.keep(nil)
	if len(m) != 0 {
		t.Error("a total that is no more is remembered")
	}
}

func TestARemoteThatIsAwayHasNoRate(t *testing.T) {
	fake := newFakeMain(testNow)
	s := newSampler(Options{Main: fake})
	look := func(change func(*Remote, *RemoteShare)) Remote {
		t.Helper()
		fake.edit(func(m *MainStatus) {
			r := m.Remotes["mulhouse"]
			sh := r.Shares["wapt"]
			change(&r, &sh)
			r.Shares["wapt"] = sh
			m.Remotes["mulhouse"] = r
		})
		n, err := s.within(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return n.main.Remotes["mulhouse"]
	}
	look(func(*Remote, *RemoteShare) {})
	if r := look(func(_ *Remote, sh *RemoteShare) { sh.Received += 1 << 20 }); r.Rate == 0 || r.Shares["wapt"].ETA == 0 {
		t.Fatalf("it receives, and has the rate %v and the time left %v", r.Rate, r.Shares["wapt"].ETA)
	}
	if r := look(func(r *Remote, _ *RemoteShare) { r.Connected = false }); r.Rate != 0 || r.Shares["wapt"].Rate != 0 || r.Shares["wapt"].ETA != 0 {
		t.Errorf("it is away, and has the rates %v, %v and the time left %v", r.Rate, r.Shares["wapt"].Rate, r.Shares["wapt"].ETA)
	}
}

func TestHistoryIsARing(t *testing.T) {
	h := newHistory()
	for i := range totalPoints + 50 {
		now := testNow.Add(time.Duration(i) * historyStep)
		h.add(map[string]int64{"": int64(i) * 1000, "colmar": int64(i) * 10}, now)
	}
	all := h.all()
	if len(all[""]) != totalPoints || len(all["colmar"]) != namedPoints {
		t.Errorf("%d and %d points, want %d and %d", len(all[""]), len(all["colmar"]), totalPoints, namedPoints)
	}
	if all[""][0] != 100 || all["colmar"][0] != 1 {
		t.Errorf("rates %v and %v, want 100 and 1", all[""][0], all["colmar"][0])
	}
	h.add(map[string]int64{"": 5}, testNow.Add(time.Hour*24))
	if _, ok := h.all()["colmar"]; ok || h.all()[""][totalPoints-1] != 0 {
		t.Error("a series that is no more is kept, or a total that began anew has a negative rate")
	}
}

func TestSlowBrowserGetsTheNewestStateOnly(t *testing.T) {
	b := newBoard()
	b.put(map[string]any{"head": 1, "remote/a": 1, "remote/b": 1})
	var at seen
	if u, _, _, _ := b.since(&at); !u.All || len(u.Set) != 3 {
		t.Fatalf("first: %v, want all", u)
	}
	for i := range 100 {
		b.put(map[string]any{"head": 1, "remote/a": i})
	}
	u, _, _, changed := b.since(&at)
	if u.All || len(u.Set) != 1 || string(u.Set["remote/a"]) != "99" || !slices.Equal(u.Gone, []string{"remote/b"}) {
		t.Errorf("got %v", u)
	}
	b.put(map[string]any{"head": 1, "remote/a": 99})
	select {
	case <-changed:
		t.Error("woken by nothing")
	default:
	}
	// More vanished than is remembered: all anew.
	many := map[string]any{"head": 1}
	for i := range maxGone + 1 {
		many["remote/"+hex4(i)] = 1
	}
	b.put(many)
	b.since(&at)
	b.put(map[string]any{"head": 1})
	if u, _, _, _ := b.since(&at); !u.All {
		t.Errorf("got %d gone, want all", len(u.Gone))
	}
}

func TestLanguageIsTheOneTheBrowserLikesBest(t *testing.T) {
	for accept, want := range map[string]string{
		"": "en", "fr": "fr", "fr-FR,fr;q=0.9,en;q=0.8": "fr", "en-US,en;q=0.9,fr;q=0.8": "en", "de,fr;q=0.5,en;q=0.3": "fr",
		"de": "en", "FR-ca": "fr", "fr;q=0, en;q=0.1": "en", "fr;q=x": "en", "*": "en",
	} {
		if got := pickLanguage(accept); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
}

func assetSub(t *testing.T) fs.FS {
	t.Helper()
	files, err := fs.Sub(assetFiles, "assets")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestTextsAreAllThereAndAllUsed: no page shows a key, in any language, and no
// text is translated that nobody sees.
func TestTextsAreAllThereAndAllUsed(t *testing.T) {
	files := assetSub(t)
	raw, err := fs.ReadFile(files, "texts.json")
	if err != nil {
		t.Fatal(err)
	}
	var table map[string]map[string]string
	if err := json.Unmarshal(raw, &table); err != nil {
		t.Fatal(err)
	}
	hole := regexp.MustCompile(`\{\w+\}`)
	for key, said := range table {
		if !slices.Equal(slices.Sorted(maps.Keys(said)), slices.Sorted(slices.Values(languages))) {
			t.Errorf("%s has the languages %v, want %v", key, slices.Sorted(maps.Keys(said)), languages)
		}
		en, fr := hole.FindAllString(said["en"], -1), hole.FindAllString(said["fr"], -1)
		slices.Sort(en)
		slices.Sort(fr)
		if !slices.Equal(en, fr) {
			t.Errorf("%s has the holes %v in English and %v in French", key, en, fr)
		}
	}
	// Keys that code puts together.
	used := map[string]bool{}
	made := regexp.MustCompile(`^(state|index|link|meta|act|done|approve|revoke|withdraw)\.`)
	var source strings.Builder
	for _, from := range []fs.FS{files, sources(t)} {
		for _, pattern := range []string{"*.html", "*.js", "*.go"} {
			names, err := fs.Glob(from, pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				b, err := fs.ReadFile(from, name)
				if err != nil {
					t.Fatal(err)
				}
				source.Write(b)
			}
		}
	}
	for _, m := range regexp.MustCompile(`\b(?:t|tn)\(? ?"([a-z.]+)"|"((?:login|setup)\.[a-z]+)"`).FindAllStringSubmatch(source.String(), -1) {
		used[m[1]+m[2]] = true
	}
	for key := range used {
		if strings.HasSuffix(key, ".") || key == "login.html" || key == "setup.html" {
			continue
		}
		if table[key] == nil {
			t.Errorf("%s is used and not there", key)
		}
	}
	for key := range table {
		if !used[key] && !made.MatchString(key) && !strings.Contains(source.String(), `"`+key+`"`) {
			t.Errorf("%s is there and not used", key)
		}
	}
	for _, state := range []string{StateLive, StateScanning, StateHeld, StateCatchingUp, StateReconciling, StateOffline, StatePaused, StateUnknown} {
		if table["state."+state] == nil {
			t.Errorf("the state %q has no text", state)
		}
	}
}
