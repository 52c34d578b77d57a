package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// restore makes the consumers of the remotes, which end with the process, where
// their newest reports say that they stand. So the main also knows how far those
// are behind that have not come back. Nothing else depends on it: a hello says
// better, and whoever says it before is passed over.
func (v *Service) restore(ctx context.Context) error {
	var errs []error
	for _, remote := range v.registry.Remotes() {
		r, err := v.stored.newest(ctx, remote.Name)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the report of %s: %w", remote.Name, err))
			continue
		}
		for share, report := range r.Shares {
			errs = append(errs, v.restoreOne(ctx, remote.Name, share, report.Seq))
		}
	}
	return errors.Join(errs...)
}

// newest is the newest stored report of a remote, the zero one if there is none.
//
// It asks the stream's leader and not for a direct answer, which the server gives
// with a look at its options that a reload changes meanwhile (seen in 2.15.2 by
// the race detector).
func (r *reportStore) newest(ctx context.Context, remote string) (report Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	msg, err := r.js.Conn().RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+remotesStream,
		fmt.Appendf(nil, `{"last_by_subj":%q}`, remotesPrefix+"."+remote))
	if err != nil {
		return report, err
	}
	var answer struct {
		Message struct {
			Data []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return report, err
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return report, nil
		}
		return report, answer.Error
	}
	return report, json.Unmarshal(answer.Message.Data, &report)
}

func (v *Service) restoreOne(ctx context.Context, remote, share string, seq uint64) error {
	log := v.o.Logs[share]
	if log == nil || !v.mayHave(remote, share) {
		return nil
	}
	if err := log.restore(ctx, remote, seq); err != nil {
		return err
	}
	if !v.mayHave(remote, share) { // revoked meanwhile, and Tidy has passed
		return log.Detach(ctx, remote)
	}
	return nil
}

// restore makes the consumer of a remote that has all up to seq, unless it was
// attached before. A place that the stream does not have is not believed.
func (l *Log) restore(ctx context.Context, remote string, seq uint64) error {
	defer l.remotes.lock(remote)()
	l.mu.Lock()
	pass := l.attached[remote] || seq > l.last
	l.mu.Unlock()
	if pass {
		return nil
	}
	_, err := l.js.CreateConsumer(ctx, l.stream, consumerConfig(remote))
	if err == nil && seq > 0 {
		_, err = l.js.ResetConsumerToSequence(ctx, l.stream, remote, seq+1)
	}
	if err != nil && !errors.Is(err, jetstream.ErrConsumerExists) {
		return fmt.Errorf("restoring the place of %s in the event log of %s: %w", remote, l.o.Share, logError("making its consumer", err))
	}
	return nil
}
