package subscriber

import "context"

// renumberBatch is how many records one transaction of forgetNumbers rewrites.
const renumberBatch = 10_000

// forgetNumbers sets the sequence of every record to 0. A reconcile begins with
// it: a stream that was made anew counts from 1 again, and a record of its
// former life would pass for newer than the events that come now, so that these
// were dropped as overtaken. It may be cut off and done again.
func (s *shareState) forgetNumbers(ctx context.Context) error {
	var last string
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.update(func(tx *stateTx) error {
			var numbered []record
			last, more = tx.walkRecords(last, renumberBatch, func(_ string, r record) {
				if r.Seq != 0 {
					numbered = append(numbered, r)
				}
			})
			for i := range numbered {
				r := &numbered[i]
				r.Seq = 0
				if err := put(tx.files(), []byte(r.Event.Path), r.append); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
