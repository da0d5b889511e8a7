package kafka

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	batchMaxDefault  = 500
	batchMaxMost     = 10_000
	batchWaitDefault = time.Second
	batchWaitLongest = 10 * time.Second // partitions cannot go to another member meanwhile
	// batchBytesMax bounds the messages of a batch, as JSON.
	batchBytesMax = workflow.DeliveryBytesMax - 2
)

// Batch says how many messages start a run together.
type Batch struct {
	Max  int           `yaml:"max" doc:"How many messages of a partition a run has at most. Default 500, at most 10000."`
	Wait time.Duration `yaml:"wait" doc:"How long a batch that is not full waits for more. Default 1s, at most 10s."`
}

// check fills in defaults, and reports what is wrong.
func (b *Batch) check(c *workflow.Check) {
	if b.Max == 0 {
		b.Max = batchMaxDefault
	}
	if b.Wait == 0 {
		b.Wait = batchWaitDefault
	}
	if b.Max < 1 || b.Max > batchMaxMost {
		c.Errorf("batch.max", "%d is out of range; expected 1 to %d", b.Max, batchMaxMost)
	}
	if b.Wait < 0 || b.Wait > batchWaitLongest {
		c.Errorf("batch.wait", "%v is out of range; expected at most %v", b.Wait, batchWaitLongest)
	}
}

// batchMessage is a message as it stands in the body of a batch.
type batchMessage struct {
	Topic     string            `json:"topic"`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Timestamp time.Time         `json:"timestamp"`
	Key       string            `json:"key,omitempty"`
	Header    map[string]string `json:"header,omitempty"`
	Value     json.RawMessage   `json:"value"` // a text if it is no JSON
}

func messageOf(r *kgo.Record) (json.RawMessage, error) {
	m := batchMessage{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UTC(), Key: string(r.Key), Value: r.Value}
	if !json.Valid(r.Value) {
		text, err := json.Marshal(string(r.Value))
		if err != nil {
			return nil, err
		}
		m.Value = text
	}
	for _, h := range r.Headers {
		if m.Header == nil {
			m.Header = map[string]string{}
		}
		if _, known := m.Header[h.Key]; !known {
			m.Header[h.Key] = string(h.Value)
		}
	}
	return json.Marshal(m)
}

// borders are the first and the last offset of a batch. They are kept before the
// batch starts its run, and the offsets are committed before the next one is begun:
// so messages that come again, after a crash in between, make the same batch, which
// is known by its borders.
type borders struct {
	First int64 `json:"first"`
	Last  int64 `json:"last"`
}

// keptBatch is the last batch of a partition, as it is kept.
type keptBatch struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	borders
}

// batches forms batches of the messages of partitions.
type batches struct {
	*listener
	known   map[place]borders // the last batch of each partition
	pending map[place][]*kgo.Record
}

func (l *listener) batches(ctx context.Context) (*batches, error) {
	b := &batches{listener: l, known: map[place]borders{}, pending: map[place][]*kgo.Record{}}
	all, err := l.env.Memory.All(ctx)
	if err != nil {
		return nil, err
	}
	for key, text := range all {
		var kept keptBatch
		if err := json.Unmarshal(text, &kept); err != nil {
			return nil, fault.New(fault.Internal, "kafka.Listen", "what is kept of the batch %s cannot be read: %s", key, err)
		}
		if at := (place{kept.Topic, kept.Partition}); key == l.memoryKey(at) { // else of a topic that was made anew
			b.known[at] = kept.borders
		}
	}
	return b, nil
}

func (l *listener) memoryKey(at place) string {
	return fmt.Sprintf("%s/%d@%s", at.topic, at.partition, l.topics[at.topic])
}

// comparePlaces is the order in which partitions take their turns.
func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}

// take gathers messages and starts runs for them, one batch of each partition at a
// time, until none is left.
func (b *batches) take(ctx context.Context, deliver workflow.DeliverFunc) error {
	defer b.client.AllowRebalance()
	clear(b.pending) // what was not committed comes again
	if err := b.gather(ctx); err != nil {
		return err
	}
	for len(b.pending) > 0 {
		var taken []*kgo.Record
		for _, at := range slices.SortedFunc(maps.Keys(b.pending), comparePlaces) {
			last, err := b.start(ctx, at, deliver)
			if err != nil {
				return errors.Join(err, b.commit(ctx, taken))
			}
			taken = append(taken, last)
		}
		if err := b.commit(ctx, taken); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// gather polls until there are enough messages, or the time for that is over; and
// until batches are complete that were begun before.
func (b *batches) gather(ctx context.Context) error {
	limit := time.Now().Add(b.Timeout)
	ends := limit
	for n := 0; ; {
		if n > 0 && (n >= b.Batch.Max || !time.Now().Before(ends)) && b.complete() {
			return nil
		}
		until := ends
		if n > 0 && !b.complete() {
			until = limit
		}
		polling, cancel := context.WithDeadline(ctx, until)
		fetches := b.client.PollRecords(polling, max(b.Batch.Max-n, triggerPoll))
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.DeadlineExceeded) {
				return failed(ctx, "kafka.Listen", fmt.Sprintf("%s/%d", e.Topic, e.Partition), e.Err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at := place{r.Topic, r.Partition}
			b.pending[at] = append(b.pending[at], r)
		})
		switch {
		case n == 0 && fetches.NumRecords() == 0:
			return b.look(ctx)
		case n == 0:
			ends = time.Now().Add(b.Batch.Wait)
		case !b.complete() && !time.Now().Before(limit):
			return fault.New(fault.Unavailable, "kafka.Listen", "the rest of a batch that was begun does not come")
		}
		n += fetches.NumRecords()
	}
}

// begun is the batch of which the first message that waits was a part.
func (b *batches) begun(at place) (borders, bool) {
	known, ok := b.known[at]
	first := b.pending[at][0].Offset
	return known, ok && known.First <= first && first <= known.Last
}

// complete reports whether what was begun can be done again as it was.
func (b *batches) complete() bool {
	for at, records := range b.pending {
		if known, again := b.begun(at); again && records[len(records)-1].Offset < known.Last {
			return false
		}
	}
	return true
}

// start starts the run of a partition's next batch. It returns the last message.
func (b *batches) start(ctx context.Context, at place, deliver workflow.DeliverFunc) (*kgo.Record, error) {
	records := b.pending[at]
	known, again := b.begun(at)
	var body [][]byte
	size := 0
	for _, r := range records {
		if again && r.Offset > known.Last || !again && len(body) == b.Batch.Max {
			break
		}
		text, err := messageOf(r)
		if err != nil {
			return nil, err
		}
		if size += len(text) + 1; !again && size > batchBytesMax && len(body) > 0 {
			break
		}
		body = append(body, text)
	}
	last := records[len(body)-1]
	if !again {
		known = borders{records[0].Offset, last.Offset}
		if err := b.keep(ctx, at, known); err != nil {
			return nil, err
		}
	}
	d := workflow.Delivery{
		ID:   fmt.Sprintf("%s/%d/%d-%d", at.topic, at.partition, known.First, known.Last),
		Body: slices.Concat([]byte("["), bytes.Join(body, []byte(",")), []byte("]")),
		Attributes: map[string]string{
			"topic": at.topic, "partition": strconv.Itoa(int(at.partition)), "count": strconv.Itoa(len(body)),
			"first": strconv.FormatInt(known.First, 10), "last": strconv.FormatInt(known.Last, 10),
		},
	}
	if id := b.topics[at.topic]; id != "" {
		d.ID += "@" + id
	}
	if _, err := deliver(ctx, d); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		b.env.Log.Error("a batch starts no run", "topic", at.topic, "partition", at.partition, "first", known.First, "last", known.Last, "error", err)
	}
	if b.pending[at] = records[len(body):]; len(b.pending[at]) == 0 {
		delete(b.pending, at)
	}
	return last, nil
}

// keep keeps the borders of a batch, in the place of those of the one before.
func (b *batches) keep(ctx context.Context, at place, known borders) error {
	text, err := json.Marshal(keptBatch{at.topic, at.partition, known})
	if err == nil {
		err = b.env.Memory.Keep(ctx, map[string]json.RawMessage{b.memoryKey(at): text}, nil)
	}
	if err == nil {
		b.known[at] = known
	}
	return err
}
