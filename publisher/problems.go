package publisher

import (
	"cmp"
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"waptsync/bus"
)

const (
	retryMin    = time.Second
	retryMax    = 5 * time.Minute
	maxProblems = 20 // shown in a status
)

// problemBook remembers which paths are not published as they stand, and why. Its
// methods may be called concurrently.
type problemBook struct {
	mu   sync.Mutex
	list map[string]bus.PathProblem
	// skipped of these are left out on purpose and not tried again.
	skipped int
}

// add records a failure of op on path and returns when to try again.
func (p *problemBook) add(path, op string, err error) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	tries := p.list[path].Tries + 1
	pause := retryMax
	if tries < 10 {
		pause = min(retryMax, retryMin<<(tries-1))
	}
	// Half of it at random, so that a thousand paths do not come back at once.
	pause = pause/2 + rand.N(pause)/2 + 1
	next := time.Now().Add(pause)
	p.set(path, bus.PathProblem{
		Path: path, Op: op, Cause: cause(err), Hint: advice(err), Tries: tries, Next: next,
	})
	return next
}

// note shows something about path that no retry of this package answers.
func (p *problemBook) note(path, op, cause, hint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(path, bus.PathProblem{Path: path, Op: op, Cause: cause, Hint: hint})
}

// opSkip marks paths that are left out on purpose.
const opSkip = "skip"

func (p *problemBook) set(path string, problem bus.PathProblem) {
	p.remove(path)
	if p.list == nil {
		p.list = make(map[string]bus.PathProblem)
	}
	p.list[path] = problem
	if problem.Op == opSkip {
		p.skipped++
	}
}

func (p *problemBook) clear(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(path)
}

func (p *problemBook) remove(path string) {
	old, ok := p.list[path]
	if !ok {
		return
	}
	delete(p.list, path)
	if old.Op == opSkip {
		p.skipped--
	}
}

// report returns how many paths fail and are skipped, and the first in order of
// their paths, failures first.
func (p *problemBook) report() (failing, skipped int, list []bus.PathProblem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	order := func(a, b bus.PathProblem) int {
		if (a.Op == opSkip) != (b.Op == opSkip) {
			if b.Op == opSkip {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Path, b.Path)
	}
	for _, problem := range p.list {
		i, _ := slices.BinarySearchFunc(list, problem, order)
		if i == maxProblems {
			continue
		}
		list = slices.Insert(list, i, problem)
		list = list[:min(len(list), maxProblems)]
	}
	return len(p.list) - p.skipped, p.skipped, list
}

// cause is err without the path and operation that stand beside it.
func cause(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

func advice(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "give the service's user the right to read it, by the folder's group say"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many open files: raise LimitNOFILE of the service"
	case errors.Is(err, syscall.EIO):
		return "the disk reports an error: see the kernel's log"
	case errors.Is(err, syscall.ESTALE):
		return "the network file system lost the file: see its server"
	}
	return ""
}
