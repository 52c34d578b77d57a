package subscriber

// at calls the failpoint of a test, if there is one: an error stands for the end
// of the process at that point.
func (r *Replica) at(point string) error {
	if r.failpoint == nil {
		return nil
	}
	return r.failpoint(point)
}
