//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
	"time"

	"waptsync/bench/link"
	"waptsync/bench/tree"
)

// syncthing is set up for one way and no discovery, with the least delay of
// its watcher that it takes well: its own 10 s would measure nothing else.
type syncthing struct {
	*scene
	ids map[string]string // by side
}

func newSyncthing(s *scene) system { return &syncthing{scene: s} }

const (
	blockPort = "22000"
	apiKey    = "bench"
)

var syncthingConfig = template.Must(template.New("config").Parse(`<configuration version="37">
{{- range .Shares}}
<folder id="{{.}}" label="{{.}}" path="{{$.Root}}/{{.}}" type="{{$.Type}}" rescanIntervalS="3600" fsWatcherEnabled="true" fsWatcherDelayS="0.1">
<device id="{{$.ID}}"/><device id="{{$.FarID}}"/><order>oldestFirst</order>
</folder>
{{- end}}
<device id="{{.ID}}" name="{{.Side}}"><address>dynamic</address></device>
<device id="{{.FarID}}" name="far"><address>tcp://{{.FarIP}}:{{.Port}}</address></device>
<gui enabled="true" tls="false"><address>{{.IP}}:{{.Page}}</address><apikey>{{.Key}}</apikey></gui>
<options>
<listenAddress>tcp://{{.IP}}:{{.Port}}</listenAddress>
<globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
<relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><reconnectionIntervalS>1</reconnectionIntervalS>
<urAccepted>-1</urAccepted><crashReportingEnabled>false</crashReportingEnabled><startBrowser>false</startBrowser>
</options>
</configuration>
`))

func (y *syncthing) home(side string) string { return filepath.Join(y.dir, "syncthing-"+side) }

var deviceID = regexp.MustCompile(`<device id="([A-Z2-7-]{63})"`)

// configure makes the keys of both sides once.
func (y *syncthing) configure(ctx context.Context) error {
	if y.ids != nil {
		return nil
	}
	ids := make(map[string]string)
	for _, side := range []string{"main", "remote"} {
		if _, err := output(ctx, y.pair.Main, "", y.trial.syncthing, "generate", "--home="+y.home(side)); err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(y.home(side), "config.xml"))
		if err != nil {
			return err
		}
		m := deviceID.FindSubmatch(b)
		if m == nil {
			return fmt.Errorf("no device in what %s generate wrote", y.trial.syncthing)
		}
		ids[side] = string(m[1])
	}
	for _, c := range []struct {
		side, far, kind, root string
		own, other            *link.Host
	}{
		{"main", "remote", "sendonly", y.src, y.pair.Main, y.pair.Remote},
		{"remote", "main", "receiveonly", y.dst, y.pair.Remote, y.pair.Main},
	} {
		var b strings.Builder
		err := syncthingConfig.Execute(&b, map[string]any{
			"Shares": shares, "Root": c.root, "Type": c.kind, "Side": c.side, "ID": ids[c.side], "FarID": ids[c.far],
			"IP": c.own.IP, "FarIP": c.other.IP, "Port": blockPort, "Page": pagePort, "Key": apiKey,
		})
		if err == nil {
			err = os.WriteFile(filepath.Join(y.home(c.side), "config.xml"), []byte(b.String()), 0o600)
		}
		if err != nil {
			return fmt.Errorf("configuring syncthing: %w", err)
		}
	}
	y.ids = ids
	return nil
}

func (y *syncthing) startMain(ctx context.Context) error { return y.serve(ctx, y.pair.Main, "main") }

func (y *syncthing) startRemote(ctx context.Context) error {
	return y.serve(ctx, y.pair.Remote, "remote")
}

func (y *syncthing) serve(ctx context.Context, h *link.Host, side string) error {
	if err := y.configure(ctx); err != nil {
		return err
	}
	return y.start(h, side, y.trial.syncthing, "serve", "--home="+y.home(side), "--no-browser", "--no-restart", "--no-upgrade")
}

func (y *syncthing) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, y.timeout, fmt.Errorf("syncthing did not read its tree in %v", y.timeout))
	defer cancel()
	for _, share := range shares {
		n, err := tree.Count(filepath.Join(y.src, share))
		if err != nil {
			return err
		}
		for {
			if err := y.ended(); err != nil {
				return err
			}
			var st struct {
				State      string `json:"state"`
				LocalFiles int    `json:"localFiles"`
			}
			// It fails until the service listens.
			if err := y.get(ctx, "/rest/db/status?folder="+share, &st); err == nil && st.State == "idle" && st.LocalFiles >= n {
				break
			}
			if sleep(ctx, 200*time.Millisecond) != nil {
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// get asks the main's own interface.
func (y *syncthing) get(ctx context.Context, path string, to any) error {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			return y.pair.Main.Dial(address, time.Second)
		},
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+y.pair.Main.IP+":"+pagePort+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-API-Key", apiKey)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("syncthing answers %s", answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(to)
}
