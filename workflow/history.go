package workflow

import (
	"context"
	"errors"
	"iter"

	"github.com/troupe-dev/troupe/store"
)

// History yields the events of the run from a sequence number on; 0 is from the
// beginning. An error is the last thing it yields.
func (r *Run) History(ctx context.Context, from int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		workflow := ""
		for stored, err := range r.engine.store.Read(ctx, store.Stream(runPrefix+r.id), store.Position(from)) {
			if errors.Is(err, store.ErrUnknownStream) {
				err = noRun("workflow.Run.History", r.id)
			}
			if err != nil {
				yield(Event{}, err)
				return
			}
			event, err := decodeEvent(stored)
			if len(stored.Meta) > 0 {
				workflow = string(stored.Meta)
			}
			event.RunID, event.Workflow = r.id, workflow
			if !yield(event, err) || err != nil {
				return
			}
		}
	}
}

// Length is the number of events in the run's history.
func (r *Run) Length(ctx context.Context) (int64, error) {
	stream := store.Stream(runPrefix + r.id)
	streams, err := r.engine.store.Streams(ctx, store.StreamFilter{Prefix: stream, Limit: 1})
	if err != nil {
		return 0, err
	}
	if len(streams) == 0 || streams[0].Stream != stream {
		return 0, noRun("workflow.Run.Length", r.id)
	}
	return int64(streams[0].Head), nil
}
