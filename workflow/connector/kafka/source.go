package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// How much a source takes from the brokers before it is asked for it.
const (
	fetchBytesMax     = 8 << 20
	fetchPartBytesMax = 1 << 20
)

// source reads extents, one after the other. It implements [workflow.Source],
// [workflow.Counter] and [workflow.Acknowledger].
type source struct {
	config  SourceConfig
	columns rowColumns
	schema  workflow.Schema
	journal *workflow.Journal
	log     *slog.Logger

	client    *kgo.Client
	admin     *kadm.Client
	entry     int // of the journal, the next one
	until     time.Time
	open      map[place]part  // of the extent under way: what is not read to its end
	positions map[place]int64 // where all extents so far end
	planned   int64           // messages in all extents so far
	rows      int64
	heard     time.Time // when the last message came
}

// name is what errors call the input.
func (s *source) name() string { return strings.Join(s.config.Topics, ", ") }

// Open records what is to be read, unless that was done before.
func (s *source) Open(ctx context.Context) (err error) {
	s.client, err = s.config.dial(
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxBytes(fetchBytesMax), kgo.FetchMaxPartitionBytes(fetchPartBytesMax),
	)
	if err != nil {
		return err
	}
	s.admin = kadm.NewClient(s.client)
	s.open, s.positions = map[place]part{}, map[place]int64{}
	if s.journal.Len() == 0 {
		e, err := s.explore(ctx, nil)
		if err != nil {
			return err
		}
		if s.config.For > 0 {
			e.Until = time.Now().Add(s.config.For)
		}
		if err := s.record(ctx, e); err != nil {
			return err
		}
	}
	_, err = s.next(ctx)
	return err
}

// record puts an extent into the journal.
func (s *source) record(ctx context.Context, e *extent) error {
	if s.config.MaxRows > 0 {
		e.cut(s.config.MaxRows - s.planned)
	}
	entry, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.journal.Append(ctx, entry)
}

// next takes up the next extent of the journal. It returns false where there is
// none.
func (s *source) next(ctx context.Context) (bool, error) {
	if s.entry == s.journal.Len() {
		return false, nil
	}
	entry, err := s.journal.Entry(ctx, s.entry)
	if err != nil {
		return false, err
	}
	e, err := parseExtent(entry)
	if err != nil || e == nil {
		return false, err
	}
	if s.entry == 0 {
		s.until = e.Until
	}
	s.entry++
	s.planned += e.rows()
	s.consume(e)
	s.heard = time.Now()
	return true, nil
}

// more finds the next extent: one that is recorded, or one that has come since. It
// returns false at the end.
func (s *source) more(ctx context.Context) (bool, error) {
	if found, err := s.next(ctx); found || err != nil {
		return found, err
	}
	if s.entry < s.journal.Len() || s.until.IsZero() { // the end is recorded, or the first extent is all
		return false, nil
	}
	tick := time.NewTicker(s.config.Poll)
	defer tick.Stop()
	for s.config.MaxRows == 0 || s.planned < s.config.MaxRows {
		e, err := s.explore(ctx, s.positions)
		if err != nil {
			return false, err
		}
		if len(e.Parts) > 0 {
			if err := s.record(ctx, e); err != nil {
				return false, err
			}
			return s.next(ctx)
		}
		if time.Now().After(s.until) {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return false, s.journal.Append(ctx, nil)
}

// Read returns the next messages.
func (s *source) Read(ctx context.Context, most int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema, File: s.name()}
	if len(s.open) == 0 {
		found, err := s.more(ctx)
		if err == nil && !found {
			err = io.EOF
		}
		if err != nil || len(s.open) == 0 {
			return batch, nil, err
		}
	}
	fetches, err := s.poll(ctx, most)
	if err != nil {
		return batch, nil, err
	}
	var rejects []workflow.Reject
	rows, n := workflow.NewRows(fetches.NumRecords(), s.schema.Len()), 0
	fetches.EachRecord(func(r *kgo.Record) {
		at := place{r.Topic, r.Partition}
		p, open := s.open[at]
		if !open || r.Offset < p.From {
			return
		}
		s.heard = time.Now()
		if r.Offset+1 >= p.To {
			delete(s.open, at)
			s.client.RemoveConsumePartitions(map[string][]int32{at.topic: {at.partition}})
		}
		if r.Offset >= p.To || r.Attrs.IsControl() {
			return
		}
		s.rows++
		if column, reason := s.columns.fill(r, rows[n]); reason != "" {
			rejects = append(rejects, workflow.Reject{
				File: fmt.Sprintf("%s/%d", r.Topic, r.Partition), Column: column, Reason: fmt.Sprintf("offset %d: %s", r.Offset, reason),
				Raw: strings.ToValidUTF8(string(r.Value), "\ufffd"),
			})
			return
		}
		n++
	})
	batch.Rows = rows[:n]
	return batch, rejects, nil
}

// poll waits for messages, at most until the time for that is over.
func (s *source) poll(ctx context.Context, most int) (kgo.Fetches, error) {
	limited, cancel := context.WithDeadlineCause(ctx, s.heard.Add(s.config.Timeout), errAway)
	defer cancel()
	fetches := s.client.PollRecords(limited, most)
	if all := fetches.Errors(); len(all) > 0 {
		e := all[0]
		loss, lost := errors.AsType[*kgo.ErrDataLoss](e.Err)
		at := fmt.Sprintf("%s/%d", e.Topic, e.Partition)
		switch {
		case limited.Err() != nil:
			return nil, failed(limited, "kafka.Read", s.name(), e.Err)
		case lost:
			return nil, fault.New(fault.FailedPrecondition, "kafka.Read", "%s: %s", at, loss)
		}
		return nil, failed(ctx, "kafka.Read", at, e.Err)
	}
	return fetches, nil
}

// RowsRead counts the messages met so far, good or bad.
func (s *source) RowsRead() int64 { return s.rows }

// Acknowledge commits the offsets of the group. What is committed already, by
// this run or another, is not set back.
func (s *source) Acknowledge(ctx context.Context) error {
	if s.config.Group == "" {
		return nil
	}
	ctx, cancel := s.config.limited(ctx)
	defer cancel()
	known, err := s.committed(ctx)
	if err == nil {
		var offsets kadm.Offsets
		for at, to := range s.positions {
			if to > known[at] {
				offsets.AddOffset(at.topic, at.partition, to, -1)
			}
		}
		if len(offsets) == 0 {
			return nil
		}
		err = s.admin.CommitAllOffsets(ctx, s.config.Group, offsets)
	}
	return failed(ctx, "kafka.Acknowledge", "group "+s.config.Group, err)
}

// Close lets go of the connections.
func (s *source) Close() error {
	if s.client != nil {
		s.client.Close()
	}
	return nil
}
