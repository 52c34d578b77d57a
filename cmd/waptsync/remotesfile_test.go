package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	testID      = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
	testOtherID = "UA6KOMQ67XOE3FHE37W4OXADVXVYISBNLTBUT2LSY5VFKAIJ7CRDR2RZ"
)

func writeRemotes(t *testing.T, path, text string) {
	t.Helper()
	// As tools write it: whole, by a rename.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestTheListOfRemotesIsReadFromTOMLAndJSON(t *testing.T) {
	published := []string{"wapt", "wapt-host"}
	for name, text := range map[string]string{
		"remotes.toml": "[remote.colmar]\nid = \"" + testID + "\"\nshares = [\"wapt\"]\npaused = true\nbandwidth = \"2 Mbit/s\"\n[remote.nancy]\nid = \"" + testOtherID + "\"\n",
		"remotes.json": `{"remote": {"colmar": {"id": "` + testID + `", "shares": ["wapt"], "paused": true, "bandwidth": "2 Mbit/s"}, "nancy": {"id": "` + testOtherID + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			writeRemotes(t, path, text)
			list, err := readRemotes(path, published)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) != 2 || list[0].Name != "colmar" || list[0].ID != testID || len(list[0].Shares) != 1 || !*list[0].Paused ||
				list[0].Bandwidth.String() != "2 Mbit/s" || list[1].Bandwidth != nil ||
				list[1].Name != "nancy" || len(list[1].Shares) != 2 || list[1].Paused != nil {
				t.Errorf("got %+v", list)
			}
		})
	}
	for name, text := range map[string]string{
		"unknown.toml": "[remote.colmar]\nkey = \"x\"\n",
		"unknown.json": `{"remote": {"colmar": {"key": "x"}}}`,
		"rest.json":    `{"remote": {}} {}`,
		"share.toml":   "[remote.colmar]\nid = \"" + testID + "\"\nshares = [\"wads\"]\n",
		"broken.toml":  "[remote",
		"rule.toml":    "[remote.colmar]\nid = \"" + testID + "\"\nbandwidth = \"2 MB/s\"\n",
		"rule.json":    `{"remote": {"colmar": {"id": "` + testID + `", "bandwidth": "2 MB/s"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			writeRemotes(t, path, text)
			if list, err := readRemotes(path, published); err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("got %+v, %v", list, err)
			}
		})
	}
}

func TestTheMainFollowsTheListOfRemotes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts services")
	}
	dir := t.TempDir()
	www, copied := filepath.Join(dir, "www"), filepath.Join(dir, "copy")
	if err := os.Mkdir(www, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(www, "a"), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	mainData, remoteData, list := filepath.Join(dir, "main"), filepath.Join(dir, "remote"), filepath.Join(dir, "remotes.toml")
	id := strings.TrimSpace(must(t, "", "id", "--data", remoteData))
	entry := func(name, id string) string { return "[remote." + name + "]\nid = \"" + id + "\"\n" }
	writeRemotes(t, list, entry("colmar", id))
	service(t, "publish", "--data", mainData, "--listen", "127.0.0.1:0", "--window", "0", "--share", "wapt="+www, "--remotes", list)
	answers(t, mainData)
	must(t, "", "remote", "add", "by-hand", "--id", testID, "--data", mainData)
	must(t, must(t, "", "remote", "show", "colmar", "--data", mainData), "join", "-", "--data", remoteData)
	service(t, "subscribe", "--data", remoteData, "--share", "wapt="+copied)
	answers(t, remoteData)
	equal(t, www, copied)

	for _, args := range [][]string{{"revoke", "colmar"}, {"set", "colmar", "--share", "wapt"}} {
		_, errs, code := command(t, "", append(append([]string{"remote"}, args...), "--data", mainData)...)
		if code == exitOK || !strings.Contains(errs, list) {
			t.Errorf("%v of a remote of the list: exit code %d: %s", args, code, errs)
		}
	}
	remotes := func() (l remoteList) {
		t.Helper()
		if err := json.Unmarshal([]byte(must(t, "", "remote", "list", "--json", "--data", mainData)), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	writeRemotes(t, list, entry("nancy", testOtherID))
	eventually(t, "the list is followed", func() (bool, string) {
		l := remotes().Remotes
		return len(l) == 2 && l[0].Name == "by-hand" && l[1].Name == "nancy", ""
	})
	eventually(t, "the removed remote is cut", func() (bool, string) {
		out, errs, _ := command(t, "", "status", "--json", "--data", remoteData)
		var s remoteStatus
		return json.Unmarshal([]byte(out), &s) == nil && !s.Connected, out + errs
	})
	writeRemotes(t, list, "[remote.nancy]\nid = \"nonsense\"\n")
	eventually(t, "a faulty list shows in the status", func() (bool, string) {
		out, _, _ := command(t, "", "status", "--data", mainData)
		return strings.Contains(out, list), out
	})
	if l := remotes().Remotes; len(l) != 2 {
		t.Errorf("a faulty list changed the remotes: %+v", l)
	}
}
