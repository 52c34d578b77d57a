//go:build !linux

package subscriber

import "errors"

// looseWay has no counterpart here: every staged file has a name.
type looseWay struct{}

func (f *folder) looseWay(string) *looseWay { return nil }

func (w *looseWay) close() {}

func (w *looseWay) link(int, *folder, string) error { return errors.ErrUnsupported }

func looseLimit() int { return 0 }

func (f *folder) openLoose(string, uint32) (int, error) { return -1, errors.ErrUnsupported }

func fillLoose(int, []byte, attributes) error { return errors.ErrUnsupported }

func statLoose(int) (stat, error) { return stat{}, errors.ErrUnsupported }

func syncLoose(int) error { return errors.ErrUnsupported }

func closeLoose(int) {}
