// Command waptsync replicates WAPT repositories from a main to remotes.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is set by the linker (-X main.version=…).
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once: the state on disk bears it.
	context.AfterFunc(ctx, stop)
	hideMemory()
	if os.Getenv("GOGC") == "" {
		tuneHeap()
	}
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.LookupEnv, version: buildVersion()}
	code := a.execute(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// buildVersion is the linker's version, or what the Go tool wrote into the binary.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

// execute runs one command line and returns its exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	err := a.run(ctx, args)
	if err != nil && err.Error() != "" {
		fmt.Fprintf(a.err, "waptsync: %v\n", err)
		if hint := hintOf(err); hint != "" {
			fmt.Fprintf(a.err, "  hint: %s\n", hint)
		}
	}
	return exitCode(err)
}
