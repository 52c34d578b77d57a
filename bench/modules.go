//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path"
	"regexp"
)

// series is a program with successive versions.
type series struct {
	module   string
	versions []string
}

// released are ten Go modules: small and large ones, sources and test data,
// steps of one correction and of many months. A module's zip, like a WAPT
// package, has members that are compressed one by one.
var released = []series{
	{"github.com/nats-io/nats-server/v2", []string{"v2.14.8", "v2.14.9", "v2.15.0", "v2.15.1", "v2.15.2"}},
	{"github.com/nats-io/nats.go", []string{"v1.52.0", "v1.53.0", "v1.53.1", "v1.54.0", "v1.55.0"}},
	{"golang.org/x/text", []string{"v0.40.0", "v0.41.0", "v0.42.0", "v0.43.0", "v0.44.0"}},
	{"golang.org/x/sys", []string{"v0.46.0", "v0.47.0", "v0.48.0", "v0.49.0", "v0.50.0"}},
	{"golang.org/x/net", []string{"v0.58.0", "v0.59.0", "v0.60.0", "v0.61.0", "v0.62.0"}},
	{"golang.org/x/tools", []string{"v0.47.0", "v0.48.0", "v0.49.0", "v0.50.0", "v0.51.0"}},
	{"github.com/prometheus/prometheus", []string{"v0.313.5", "v0.314.0", "v0.315.0", "v0.315.1", "v0.316.0"}},
	{"k8s.io/api", []string{"v0.36.5", "v0.36.6", "v0.37.0", "v0.37.1", "v0.37.2"}},
	{"k8s.io/kubernetes", []string{"v1.34.4", "v1.35.4", "v1.36.1", "v1.36.3", "v1.37.2"}},
	{"github.com/klauspost/compress", []string{"v1.19.2", "v1.20.0", "v1.20.1", "v1.20.2", "v1.20.3"}},
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// name is the module's last word that is no version.
func (s series) name() string {
	if base := path.Base(s.module); !majorVersion.MatchString(base) {
		return base
	}
	return path.Base(path.Dir(s.module))
}

// download is what `go mod download -json` tells: files of the module cache.
type download struct {
	Zip, Dir, Error string
}

// fetch downloads a version, or finds it in the module cache.
func (s series) fetch(ctx context.Context, version string) (download, error) {
	var d download
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", s.module+"@"+version)
	cmd.Dir = "/" // outside any module, whose list of dependencies is no matter here
	out, err := cmd.Output()
	if parsing := json.NewDecoder(bytes.NewReader(out)).Decode(&d); err == nil {
		err = parsing
	}
	if d.Error != "" {
		return d, fmt.Errorf("downloading %s@%s: %s", s.module, version, d.Error)
	}
	if err != nil {
		return d, fmt.Errorf("downloading %s@%s: %w", s.module, version, err)
	}
	return d, nil
}
