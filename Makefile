# What a developer runs. CI runs .ci/run, which uses these same targets.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOBIN_DIR = $(shell go env GOPATH)/bin

.PHONY: build test check fuzz soak bench demo packages picture

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o waptsync ./cmd/waptsync

test:
	go test -race -timeout 30m ./...

# Formatting, vet, staticcheck and known vulnerabilities. A tool or a database
# that cannot be had is said, not failed: what it would have found stays open.
check:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	go vet ./...
	GOOS=windows go build -o /dev/null ./cmd/waptsync
	GOOS=darwin go build -o /dev/null ./cmd/waptsync
	@PATH="$(GOBIN_DIR):$$PATH"; \
	if command -v staticcheck >/dev/null; then echo staticcheck ./...; staticcheck ./...; \
	elif go run honnef.co/go/tools/cmd/staticcheck@latest -version >/dev/null 2>&1; then \
		echo staticcheck ./...; go run honnef.co/go/tools/cmd/staticcheck@latest ./...; \
	else echo "staticcheck is not installed and cannot be installed: NOT RUN"; fi
	@PATH="$(GOBIN_DIR):$$PATH"; \
	if command -v govulncheck >/dev/null; then run=govulncheck; \
	elif go run golang.org/x/vuln/cmd/govulncheck@latest -version >/dev/null 2>&1; then \
		run="go run golang.org/x/vuln/cmd/govulncheck@latest"; \
	else echo "govulncheck is not installed and cannot be installed: NOT RUN"; exit 0; fi; \
	echo "$$run ./..."; out=$$($$run ./... 2>&1); code=$$?; echo "$$out" | tail -n 40; \
	if [ $$code -eq 0 ]; then exit 0; fi; \
	if echo "$$out" | grep -q '^Vulnerability #'; then exit 1; fi; \
	echo "the vulnerability database could not be reached: NOT CHECKED"

# Every fuzz target, 60 s each, one after the other.
fuzz:
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "$$(dirname $$file) $$target"; \
			go test $$(dirname $$file) -run '^$$' -fuzz "^$$target$$" -fuzztime 60s; \
		done; \
	done

# The long client tests: agents and apt on two remotes, while the main is written
# as a WAPT Server does and services and link fail, until 100,000 downloads were
# checked. SOAK=2h sets a time instead; WAPTSYNC_SEED=n is the run with that seed.
SOAK ?= 0
soak:
	WAPTSYNC_LONG=1 go test -count=1 -timeout 0 -v -run '^TestClientsNeverMissANamedFile$$|^TestAptNeverMissesANamedFile$$' ./test -soak.for=$(SOAK)

# waptsync beside rsync, lsyncd, Syncthing and rclone, where they are installed; as
# root. The table and the JSON lines go to bench/out. bench/README.md has the flags.
BENCH ?=
bench: build
	go run ./bench -waptsync ./waptsync $(BENCH)

demo:
	go run ./cmd/waptsync demo

# The README's picture of the page, made anew in Chromium; takes seven minutes.
picture:
	WAPTSYNC_PICTURE=$(CURDIR)/docs/page.png go test -count=1 -timeout 20m -v -run '^TestPictureForTheREADME$$' ./cmd/waptsync

# Debian and RPM packages into dist/; GOARCH=arm64 for another architecture.
packages:
	deploy/package/build.sh $(VERSION)
