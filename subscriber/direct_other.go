//go:build !linux

package subscriber

// directAlign only cuts requests here.
const directAlign = 4096

// directFile has no counterpart here.
type directFile struct{}

func (f *folder) openDirect(string) *directFile { return nil }

func (d *directFile) writeAt([]byte, int64) (bool, error) { return false, nil }

func (d *directFile) close() {}

func alignedBlock() *block { return new(block) }

func (f *folder) spread() bool { return false }
