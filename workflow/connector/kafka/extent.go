package kafka

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/troupe-dev/troupe/fault"
)

// extent is what a run is going to read: some messages of each partition. It is an
// entry of the run's journal.
type extent struct {
	// Until is when a run that reads for a time ends; in the first extent.
	Until time.Time `json:"until,omitzero"`
	Parts []part    `json:"parts"`
}

// part are the messages of a partition from an offset on, up to another one.
type part struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"` // not included
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

func (p part) place() place { return place{p.Topic, p.Partition} }

// parseExtent reads an entry of a journal. Nil is the end.
func parseExtent(entry json.RawMessage) (*extent, error) {
	var e *extent
	if len(entry) > 0 {
		if err := json.Unmarshal(entry, &e); err != nil {
			return nil, fault.New(fault.Internal, "kafka.Read", "what was recorded of the run's input cannot be read: %s", err)
		}
	}
	return e, nil
}

// rows is how many messages an extent has at most.
func (e *extent) rows() (n int64) {
	for _, p := range e.Parts {
		n += p.To - p.From
	}
	return n
}

// cut shortens an extent to so many messages, about as many of each partition.
func (e *extent) cut(most int64) {
	left := most
	bySize := slices.SortedFunc(slices.Values(indexes(len(e.Parts))), func(i, j int) int {
		return cmp.Compare(e.Parts[i].To-e.Parts[i].From, e.Parts[j].To-e.Parts[j].From)
	})
	for n, i := range bySize { // the shortest first: what they leave goes to the others
		p := &e.Parts[i]
		take := min(p.To-p.From, left/int64(len(bySize)-n))
		p.To = p.From + take
		left -= take
	}
}

func indexes(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// explore finds out where the next extent begins and ends. Positions are where the
// one before has ended.
func (s *source) explore(ctx context.Context, positions map[place]int64) (*extent, error) {
	ctx, cancel := s.config.limited(ctx)
	defer cancel()
	topics := s.config.Topics
	fail := func(err error) (*extent, error) { return nil, failed(ctx, "kafka.Open", s.name(), err) }
	ends, err := s.admin.ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fail(err)
	}
	starts, err := s.admin.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fail(err)
	}
	begin, err := s.beginnings(ctx, starts, ends)
	if err != nil {
		return fail(err)
	}
	var e extent
	for _, end := range ends.Offsets().Sorted() {
		at := place{end.Topic, end.Partition}
		from, known := positions[at]
		if !known {
			from = begin[at]
		}
		if first, _ := starts.Lookup(end.Topic, end.Partition); from < first.Offset {
			s.log.Warn("messages were deleted before they were read", "topic", end.Topic, "partition", end.Partition, "from", from, "to", first.Offset)
			from = first.Offset
		}
		if from > end.At { // where a transaction is open that the group has read before
			s.log.Warn("a partition ends before the place where it is to be read", "topic", end.Topic, "partition", end.Partition, "from", from, "end", end.At)
		}
		// The first extent has all partitions, so that the group learns where each
		// began although there was nothing in it.
		if to := max(from, end.At); to > from || !known {
			e.Parts = append(e.Parts, part{Topic: end.Topic, Partition: end.Partition, From: from, To: to})
		}
	}
	return &e, nil
}

// beginnings is where a run begins to read: what the group has committed, else
// what the configuration says.
func (s *source) beginnings(ctx context.Context, starts, ends kadm.ListedOffsets) (map[place]int64, error) {
	first := starts
	switch s.config.Start {
	case startEarliest:
	case startLatest:
		first = ends
	default:
		at, err := time.Parse(time.RFC3339Nano, s.config.Start)
		if err != nil {
			return nil, err
		}
		if first, err = s.admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), s.config.Topics...); err == nil {
			err = first.Error()
		}
		if err != nil {
			return nil, err
		}
	}
	begin := map[place]int64{}
	first.Each(func(o kadm.ListedOffset) { begin[place{o.Topic, o.Partition}] = o.Offset })
	committed, err := s.committed(ctx)
	maps.Copy(begin, committed)
	return begin, err
}

// committed is what the group has committed.
func (s *source) committed(ctx context.Context) (map[place]int64, error) {
	known := map[place]int64{}
	if s.config.Group == "" {
		return known, nil
	}
	offsets, err := offsetsOf(ctx, s.admin, s.config.Group, s.config.Topics...)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", s.config.Group, err)
	}
	for _, o := range offsets.Sorted() {
		if o.At >= 0 {
			known[place{o.Topic, o.Partition}] = o.At
		}
	}
	return known, nil
}

// offsetsOf is what a group has committed; nothing, if there is no such group.
func offsetsOf(ctx context.Context, admin *kadm.Client, group string, topics ...string) (kadm.OffsetResponses, error) {
	offsets, err := admin.FetchOffsetsForTopics(ctx, group, topics...)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err == nil {
		err = offsets.Error()
	}
	return offsets, err
}

// consume points the client at the messages of an extent.
func (s *source) consume(e *extent) {
	s.open = map[place]part{}
	from := map[string]map[int32]kgo.Offset{}
	gone := map[string][]int32{}
	for _, p := range e.Parts {
		s.positions[p.place()] = p.To
		if p.From == p.To {
			continue
		}
		s.open[p.place()] = p
		if from[p.Topic] == nil {
			from[p.Topic] = map[int32]kgo.Offset{}
		}
		from[p.Topic][p.Partition] = kgo.NewOffset().At(p.From)
		gone[p.Topic] = append(gone[p.Topic], p.Partition)
	}
	s.client.RemoveConsumePartitions(gone)
	s.client.AddConsumePartitions(from)
}
