// Package boltfile keeps bbolt files of which only time is lost when a disk damages
// them: one that cannot be read is moved aside and begun anew, and never ends the
// process.
//
// bbolt has no sums but on its first two pages. It tells of a damaged page by a
// panic, or follows it out of the file, which is a fault of memory. Both are errors
// here.
package boltfile

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrDamaged is returned, wrapped, when the file turned out to be damaged, and by all
// calls after that.
var ErrDamaged = errors.New("the file is damaged")

// asideSuffix is of the name under which the newest damaged file is kept.
const asideSuffix = ".damaged"

// File is an open file. Its methods may be called concurrently.
type File struct {
	db       *bbolt.DB
	path     string
	replaced error

	// writing is beside bbolt's own lock, which a panic may leave locked.
	writing sync.Mutex
	once    sync.Once
	damaged chan struct{}
	why     error // valid when damaged is closed
}

// Open opens the file at path, or makes it. One that is damaged is moved aside, see
// Replaced. What the file system refuses, and another process that has the file, are
// errors.
func Open(path string, mode os.FileMode, o *bbolt.Options) (*File, error) {
	f := &File{path: path, damaged: make(chan struct{})}
	db, err := open(path, mode, o)
	if errors.Is(err, ErrDamaged) {
		f.replaced = err
		if err := os.Rename(path, path+asideSuffix); err != nil {
			return nil, fmt.Errorf("moving a damaged file aside: %w", err)
		}
		db, err = open(path, mode, o)
	}
	if err != nil {
		return nil, err
	}
	f.db = db
	return f, nil
}

func open(path string, mode os.FileMode, o *bbolt.Options) (db *bbolt.DB, err error) {
	fault := guard(func() error {
		db, err = bbolt.Open(path, mode, o)
		return nil
	})
	if fault != nil {
		return nil, fault
	}
	for _, damage := range []error{bolterrors.ErrInvalid, bolterrors.ErrVersionMismatch, bolterrors.ErrChecksum} {
		if errors.Is(err, damage) {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if fi, statErr := os.Stat(path); err != nil && statErr == nil && tooShort(fi, err) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return db, err
}

// tooShort is of a file that was cut off amid its first pages, for which bbolt has
// no error of its own.
func tooShort(fi os.FileInfo, err error) bool {
	var call *os.PathError
	return fi.Mode().IsRegular() && fi.Size() < int64(4*os.Getpagesize()) &&
		!errors.As(err, &call) && !errors.Is(err, bolterrors.ErrTimeout)
}

// Replaced is why the file that was there was moved aside when this was opened, or
// nil.
func (f *File) Replaced() error { return f.replaced }

// Damaged is closed when the file turns out to be damaged. It was moved aside then;
// the next Open begins a new one.
func (f *File) Damaged() <-chan struct{} { return f.damaged }

// DB is for its settings; transactions are the file's.
func (f *File) DB() *bbolt.DB { return f.db }

// View is bbolt's.
func (f *File) View(fn func(*bbolt.Tx) error) error {
	return f.do(func() error { return f.db.View(fn) })
}

// Update is bbolt's.
func (f *File) Update(fn func(*bbolt.Tx) error) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.do(func() error { return f.db.Update(fn) })
}

func (f *File) do(transaction func() error) error {
	select {
	case <-f.damaged:
		return f.why
	default:
	}
	err := guard(transaction)
	if errors.Is(err, ErrDamaged) {
		f.once.Do(func() {
			f.why = err
			_ = os.Rename(f.path, f.path+asideSuffix) // Windows keeps the name of an open file
			close(f.damaged)
		})
	}
	return err
}

// Close waits for transactions and closes the file. Of a damaged one nothing is
// waited for.
func (f *File) Close() error {
	select {
	case <-f.damaged:
		return nil
	default:
	}
	return f.do(f.db.Close)
}

// guard calls fn and makes an error of what bbolt does where a page is damaged. A
// panic of the caller's own code goes on.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		_, fault := r.(interface{ Addr() uintptr }) // runtime.Error of a memory fault
		if !fault && !panickedInBolt() {
			panic(r)
		}
		err = fmt.Errorf("%w: %v", ErrDamaged, r)
	}()
	return fn()
}

// panickedInBolt says whether the code that panicked is bbolt's. The caller is a
// deferred function.
func panickedInBolt() bool {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return strings.HasPrefix(f.Function, "go.etcd.io/bbolt")
		}
		if !more {
			return false
		}
	}
}
