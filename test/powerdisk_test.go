//go:build linux

package test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	diskBlock = 4096
	diskSize  = 768 << 20
)

// diskKind is how a file system is made and mounted. Nothing is switched on that
// makes it safer than it is by itself, and ext4's help for programs that rename
// without a sync is switched off.
type diskKind struct {
	name    string
	make    []string                // options of mkfs
	options string                  // of mount
	forget  func(loop string) error // has the kernel forget a device that goes; may be nil
}

var diskKinds = map[string]diskKind{
	"ext4": {make: []string{"-q", "-E", "nodiscard"}, options: "noauto_da_alloc"},
	// A disk before the cut has the same UUID, and may still be mounted somewhere.
	"xfs": {make: []string{"-q", "-K"}, options: "nouuid"},
	// A newer disk of the same UUID, which the one after a cut looks older than,
	// would be preferred. (One that is still mounted is told apart from Linux 6.7 on.)
	"btrfs": {make: []string{"-q", "-K"}, options: "defaults",
		forget: func(loop string) error { return tool("btrfs", "device", "scan", "--forget", loop) }},
}

// theDiskKind is the file system that WAPTSYNC_DISK names.
func theDiskKind(t *testing.T) diskKind {
	t.Helper()
	name := cmp.Or(os.Getenv("WAPTSYNC_DISK"), "ext4")
	k, ok := diskKinds[name]
	if !ok {
		t.Fatalf("WAPTSYNC_DISK=%s: want one of %q", name, slices.Sorted(maps.Keys(diskKinds)))
	}
	k.name = name
	return k
}

// powerDisk is a disk with a volatile write cache, whose power can be cut: a
// file system on a loop device, on a file that this process serves through FUSE. What
// the file system wrote and did not flush may be lost in a cut, block by block
// and in any order; all that it had not written yet is.
type powerDisk struct {
	t    *testing.T
	kind diskKind
	at   string // where it is mounted
	*medium
	flushes int // of the media before
}

// medium is what is written to, from one cut to the next. Each has a file and a
// loop device of its own: another mount namespace that was made meanwhile may
// keep the file system of the one before alive, and writing.
type medium struct {
	file string // the FUSE mount: one file
	fuse int    // descriptor of /dev/fuse
	loop string

	mu      sync.Mutex
	now     image // what a read gives
	stable  image // what was flushed
	pending []diskWrite
	flushed int
	failed  bool // every read, write and flush is an input/output error
}

// image holds blocks by their number; a block that was never written is not
// there. Blocks are never changed, so images share them.
type image map[int64][]byte

type diskWrite struct {
	block int64
	data  []byte
}

// newPowerDisk makes a disk and mounts it at dir, which it makes.
func newPowerDisk(t *testing.T, dir string) *powerDisk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a disk needs root")
	}
	kind := theDiskKind(t)
	for _, program := range []string{"losetup", "mkfs." + kind.name, "mount", "umount"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	makeDirs(t, dir)
	d := &powerDisk{t: t, kind: kind, at: dir, medium: newMedium(t, image{})}
	check(t, tool("mkfs."+kind.name, append(slices.Clone(kind.make), d.loop)...))
	d.mount()
	return d
}

func newMedium(t *testing.T, content image) *medium {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no FUSE: %v", err)
	}
	m := &medium{file: write(t, nil, t.TempDir(), "disk"), fuse: fd, now: maps.Clone(content), stable: content}
	options := fmt.Sprintf("fd=%d,rootmode=%o,user_id=0,group_id=0", fd, unix.S_IFREG)
	if err := unix.Mount("powerdisk", m.file, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Skipf("mounting a FUSE file: %v", err)
	}
	go m.serve()
	t.Cleanup(m.gone)
	out, err := exec.Command("losetup", "--find", "--show", m.file).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device: %v: %s", err, out)
	}
	m.loop = strings.TrimSpace(string(out))
	return m
}

// gone lets go of the loop device and of the file; doing it twice is allowed.
func (m *medium) gone() {
	if m.loop != "" {
		_ = tool("losetup", "--detach", m.loop) // as soon as nobody uses it
	}
	if m.file != "" {
		_ = unix.Unmount(m.file, unix.MNT_DETACH)
	}
	m.loop, m.file = "", ""
}

func (d *powerDisk) mount() {
	d.t.Helper()
	check(d.t, tool("mount", "-o", d.kind.options, d.loop, d.at))
	at := d.at
	d.t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
}

// cut takes what the disk holds if the power goes now. The file system goes on
// and knows nothing of it, until restore.
func (d *powerDisk) cut(rng *random) (held image, lost int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	held = maps.Clone(d.stable)
	keep := rng.IntN(3) // none of it, half of it, all of it
	for _, w := range d.pending {
		if keep == 2 || keep == 1 && rng.IntN(2) == 0 {
			held[w.block] = w.data
		} else {
			lost++
		}
	}
	return held, lost
}

// fail makes the disk one that answers nothing any more, and takes what it held.
func (d *powerDisk) fail() (held image) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = true
	return maps.Clone(d.now)
}

// replace mounts another disk with that content in the place of a failed one,
// which whoever uses it keeps.
func (d *powerDisk) replace(held image) {
	d.t.Helper()
	check(d.t, tool("umount", "--lazy", d.at))
	d.gone()
	d.medium = newMedium(d.t, held)
	d.mount()
}

// restore mounts the disk with what it held after a cut. Nobody may use it.
func (d *powerDisk) restore(held image) {
	d.t.Helper()
	check(d.t, tool("umount", d.at))
	d.flushes += d.flushed
	if d.kind.forget != nil {
		_ = d.kind.forget(d.loop) // fails while it is mounted elsewhere
	}
	d.gone()
	d.medium = newMedium(d.t, held)
	d.mount()
}

// Operations of FUSE's protocol, 7.31, as include/uapi/linux/fuse.h has them.
const (
	fuseForget      = 2
	fuseGetattr     = 3
	fuseSetattr     = 4
	fuseOpen        = 14
	fuseRead        = 15
	fuseWrite       = 16
	fuseRelease     = 18
	fuseFsync       = 20
	fuseFlush       = 25
	fuseInit        = 26
	fuseInterrupt   = 36
	fuseDestroy     = 38
	fuseBatchForget = 42

	fuseHeader = 40      // bytes before each request
	fuseMax    = 1 << 17 // bytes of one read or write
)

func (m *medium) serve() {
	defer func() { _ = unix.Close(m.fuse) }()
	request := make([]byte, fuseMax+diskBlock)
	for {
		n, err := unix.Read(m.fuse, request)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOENT):
			continue
		case err != nil: // ENODEV: unmounted
			return
		}
		op := binary.NativeEndian.Uint32(request[4:])
		if op == fuseForget || op == fuseBatchForget || op == fuseInterrupt {
			continue // they want no answer
		}
		answer, errno := m.answer(op, request[fuseHeader:n])
		reply := binary.NativeEndian.AppendUint32(nil, uint32(16+len(answer)))
		reply = binary.NativeEndian.AppendUint32(reply, uint32(-int32(errno)))
		reply = append(reply, request[8:16]...) // the request's number
		_, _ = unix.Write(m.fuse, append(reply, answer...))
		if op == fuseDestroy {
			return
		}
	}
}

func (m *medium) answer(op uint32, in []byte) ([]byte, unix.Errno) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u64 := func(at int) int64 { return int64(binary.NativeEndian.Uint64(in[at:])) }
	u32 := func(at int) int { return int(binary.NativeEndian.Uint32(in[at:])) }
	switch op {
	case fuseInit:
		return packed(uint32(7), uint32(31), uint32(fuseMax), uint32(0), uint16(0), uint16(0), uint32(fuseMax),
			uint32(1), uint16(0), uint16(0), uint32(0), [7]uint32{}), 0
	case fuseGetattr, fuseSetattr:
		return packed(uint64(3600), uint32(0), uint32(0), // for how long it holds
			uint64(1), uint64(diskSize), uint64(diskSize/512), [3]uint64{}, [3]uint32{},
			uint32(unix.S_IFREG|0o600), uint32(1), [3]uint32{}, uint32(diskBlock), uint32(0)), 0
	case fuseOpen:
		return packed(uint64(0), uint32(0), uint32(0)), 0
	case fuseRead, fuseWrite, fuseFsync:
		if m.failed {
			return nil, unix.EIO
		}
	}
	switch op {
	case fuseRead:
		return m.read(u64(8), u32(16)), 0
	case fuseWrite:
		size := u32(16)
		m.write(u64(8), in[40:40+size])
		return packed(uint32(size), uint32(0)), 0
	case fuseFsync:
		for _, w := range m.pending {
			m.stable[w.block] = w.data
		}
		m.pending = nil
		m.flushed++
		return nil, 0
	case fuseRelease, fuseFlush, fuseDestroy:
		return nil, 0
	}
	return nil, unix.ENOSYS
}

func packed(values ...any) []byte {
	var b bytes.Buffer
	for _, v := range values {
		_ = binary.Write(&b, binary.NativeEndian, v) // fails for no number
	}
	return b.Bytes()
}

func (m *medium) read(at int64, size int) []byte {
	out := make([]byte, max(0, min(int64(size), diskSize-at)))
	for n := 0; n < len(out); {
		block, skip := (at+int64(n))/diskBlock, int((at+int64(n))%diskBlock)
		end := min(len(out), n+diskBlock-skip)
		if b := m.now[block]; b != nil {
			copy(out[n:end], b[skip:])
		}
		n = end
	}
	return out
}

func (m *medium) write(at int64, data []byte) {
	for len(data) > 0 {
		block, skip := at/diskBlock, int(at%diskBlock)
		b := make([]byte, diskBlock)
		copy(b, m.now[block])
		n := copy(b[skip:], data)
		m.now[block] = b
		m.pending = append(m.pending, diskWrite{block, b})
		at, data = at+int64(n), data[n:]
	}
}

// TestPowerDiskLosesWhatWasNotSynced holds the harness: a disk that loses
// nothing, or what was synced, tests nothing.
func TestPowerDiskLosesWhatWasNotSynced(t *testing.T) {
	if !long() {
		t.Skip("WAPTSYNC_LONG=1 runs it")
	}
	rng := newRandom(t)
	d := newPowerDisk(t, filepath.Join(t.TempDir(), "disk"))
	for i := range 10 {
		name := func(kind string) string { return filepath.Join(d.at, fmt.Sprint(kind, i)) }
		content := rng.data(100_000)
		synced := func(name string) {
			f, err := os.Create(name)
			check(t, err)
			_, err = f.Write(content)
			check(t, errors.Join(err, f.Sync(), f.Close()))
		}
		synced(name("kept"))
		top, err := os.Open(d.at)
		check(t, err)
		check(t, errors.Join(top.Sync(), top.Close()))
		check(t, os.WriteFile(name("lost"), content, 0o600))
		held, _ := d.cut(rng)
		d.restore(held)
		if got, err := os.ReadFile(name("kept")); err != nil || !bytes.Equal(got, content) {
			t.Errorf("a synced file was lost: %v", err)
		}
		if got, _ := os.ReadFile(name("lost")); bytes.Equal(got, content) {
			t.Error("a file that was not synced is there")
		}
	}
	t.Logf("%d flushes", d.flushes)
}
