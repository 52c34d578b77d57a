package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"waptsync/cmd/waptsync/sample"
	"waptsync/console/screen"
)

const mostPicture = 150 << 10 // bytes: it is in each clone

// TestPictureForTheREADME makes the picture that WAPTSYNC_PICTURE names
// (`make picture`): a main with the demo's repository and two remotes, after two
// minutes. Names of folders and hosts, which are this machine's, are put in place
// of those that a main has.
func TestPictureForTheREADME(t *testing.T) {
	path := os.Getenv("WAPTSYNC_PICTURE")
	if path == "" {
		t.Skip("WAPTSYNC_PICTURE names no file")
	}
	dir := t.TempDir()
	repo, err := sample.Create(filepath.Join(dir, "www"), sample.Options{Packages: 12, Hosts: 60, Payload: 1 << 20, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	mainData := filepath.Join(dir, "main")
	must(t, "correct horse battery\n", "console", "passwd", "--data", mainData)
	line, log := publishSlowly(t, repo, mainData)
	s := screen.Start(t, "https://"+logged(t, log, `"http":"([^"]+)"`))
	s.Size(1200, 1130, "light")
	s.Open("/")
	s.Visible("#password")
	s.Fill("#password", "correct horse battery")
	s.Click("button.first")
	line.limit.Store(4 << 20)
	for _, name := range []string{"colmar", "mulhouse"} {
		data := filepath.Join(dir, name)
		must(t, must(t, "", "invite", name, "--data", mainData), "join", "-", "--data", data)
		subscribe := []string{"subscribe", "--data", data, "--http", ""}
		for share := range repo.Shares() {
			subscribe = append(subscribe, "--share", share+"="+filepath.Join(dir, name+"-"+share))
		}
		loggedService(t, subscribe...)
	}
	points := `(document.querySelector("#chart .trace")?.getAttribute("d").split("L").length ?? 0)`
	for i := 0; screen.Eval[int](s, points) < 40; i++ {
		if _, err := repo.AddPackage(fmt.Sprintf("sample-new%02d", i), (1+i%5)<<20); err != nil {
			t.Fatal(err)
		}
		if _, err := repo.EditHost(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(1+i%7) * 2 * time.Second) // what an hour of work looks like, and no condition
	}
	s.Until("colmar has all", remoteSays("colmar", "> .head .state", "In sync"))
	s.Until("mulhouse has all", remoteSays("mulhouse", "> .head .state", "In sync"))
	line.limit.Store(2 << 20)
	big := make([]byte, 48<<20)
	rand.Read(big)
	if err := os.WriteFile(filepath.Join(repo.Shares()["wapt"], "sample-office_24.8_x64_windows_fr_PROD.wapt"), big, 0o644); err != nil {
		t.Fatal(err)
	}
	s.Until("the file is on its way", `document.querySelector('[data-remote="mulhouse"] .moving progress')?.value > 5e6`)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		screen.Eval[bool](s, fmt.Sprintf(`(() => {
			const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
			while (walker.nextNode()) {
				const n = walker.currentNode, remote = n.parentElement.closest("[data-remote]");
				n.data = n.data.replace(%q, "/var").replace(/127\.0\.0\.1:(\d+)/, remote ? "192.0.2.14:$1" : "[::]:4222");
				if (n.data === %q) n.data = remote ? "srv-" + remote.dataset.remote : "wapt.example.org";
			}
			return true;
		})()`, dir, host))
		s.Window(path)
		if !screen.Eval[bool](s, fmt.Sprintf(`document.body.innerText.includes(%q)`, dir)) {
			break // else the page told the names again meanwhile
		}
	}
	shrink(t, path)
}

// shrink compresses a picture as well as PNG can.
func shrink(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, picture); err != nil {
		t.Fatal(err)
	}
	if out.Len() > len(text) {
		out = *bytes.NewBuffer(text)
	}
	if out.Len() > mostPicture {
		t.Errorf("the picture has %d bytes: at most %d", out.Len(), mostPicture)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTheREADMEsPictureIsThere holds that what the README shows is in the tree, small.
func TestTheREADMEsPictureIsThere(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`!\[[^\]]+\]\((docs/[^)]+\.png)\)`).FindSubmatch(readme)
	if m == nil {
		t.Fatal("the README shows no picture")
	}
	info, err := os.Stat(filepath.Join("../..", string(m[1])))
	if err != nil || info.Size() > mostPicture {
		t.Errorf("%s: %v, or larger than %d bytes", m[1], err, mostPicture)
	}
}
