package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

var batchTests = []test{
	{"everything in one batch", everything},
	{"nothing of a batch that is refused", nothing},
	{"an empty batch", func(h *harness) {
		r := h.commit(store.Batch{})
		if len(r.Heads)+len(r.Puts)+len(r.Versions)+len(r.Letters) > 0 {
			h.Errorf("result = %+v", r)
		}
	}},
	{"bad input", badInput},
	{"limits", limits},
}

// seed puts into a store what the batches below work on.
func seed(h *harness) (got []store.Message, letter store.LetterID) {
	h.Helper()
	h.append("s", store.NoStream, "1")
	h.append("old", store.NoStream, "1", "2")
	h.put("in", "ack", "nack", "bury")
	letter = h.commit(store.Batch{
		LetterAdds: []store.Letter{{ErrorMessage: "first"}, {ErrorMessage: "second"}},
		Sets:       []store.Set{{Key: "k", Value: []byte("v1")}},
		Cursors:    []store.Cursor{{Scope: "s", Producer: "p", Seq: 1}},
	}).Letters[0]
	return h.receive(store.ReceiveRequest{Queue: "in", Hold: hold}, "ack", "nack", "bury"), letter
}

// all is a batch of everything. It refers to what seed has made.
func all(got []store.Message, letter store.LetterID, f store.Fence) store.Batch {
	return store.Batch{
		Fence:         f,
		Appends:       []store.Append{appendOf("s", 1, "2", string(pattern(5000)))},
		Snapshots:     []store.Snapshot{{Stream: "s", Position: 3, Data: pattern(6000)}},
		Trims:         []store.Trim{{Stream: "old", Through: 1}},
		Cursors:       []store.Cursor{{Scope: "s", Producer: "p", Seq: 2}},
		Sets:          []store.Set{{Key: "k", Expected: 1, Value: []byte("v2")}},
		Acks:          []store.Ack{{Receipt: got[0].Receipt}},
		Nacks:         []store.Nack{{Receipt: got[1].Receipt, Reason: "not now"}},
		Buries:        []store.Bury{{Receipt: got[2].Receipt, Reason: "never"}},
		LetterDeletes: []store.LetterDelete{{ID: letter, Version: 1}},
		LetterEdits:   []store.Letter{{ID: letter + 1, ErrorMessage: "edited"}},
		LetterAdds:    []store.Letter{{ErrorMessage: "third"}},
		Puts:          []store.Put{{Queue: "out", Envelope: store.Envelope{Data: pattern(7000)}}, {Queue: "out"}},
	}
}

// state describes everything that the tests of this file change.
func (h *harness) state() string {
	h.Helper()
	ctx := h.Context()
	var b strings.Builder
	for _, s := range []store.Stream{"s", "old", "new"} {
		fmt.Fprintf(&b, "%s:", s)
		for e, err := range h.s.Read(ctx, s, 0) {
			if errors.Is(err, store.ErrUnknownStream) {
				break
			}
			h.must(err)
			fmt.Fprintf(&b, " %d=%d", e.Position, len(e.Data))
		}
		if n, err := h.s.Snapshot(ctx, s); err == nil {
			fmt.Fprintf(&b, " snapshot %d=%d", n.Position, len(n.Data))
		}
		b.WriteByte('\n')
	}
	c, err := h.s.Cursors(ctx, "s")
	h.must(err)
	fmt.Fprintln(&b, c)
	entries, err := h.s.Entries(ctx, store.EntryFilter{})
	h.must(err)
	for _, e := range entries {
		fmt.Fprintf(&b, "%s=%s/%d\n", e.Key, e.Value, e.Version)
	}
	for _, q := range []store.Queue{"in", "out"} {
		fmt.Fprintf(&b, "%s:", q)
		for _, m := range h.messages(q) {
			fmt.Fprintf(&b, " %d/%d/%s", len(m.Data), m.Attempts, m.LastError)
		}
		b.WriteByte('\n')
	}
	letters, err := h.s.Letters(ctx, store.LetterFilter{})
	h.must(err)
	for _, l := range letters {
		fmt.Fprintf(&b, "letter %s/%d\n", l.ErrorMessage, l.Version)
	}
	return b.String()
}

func everything(h *harness) {
	got, letter := seed(h)
	l, err := h.s.Acquire(h.Context(), "l", "me", hold)
	h.must(err)
	r := h.commit(all(got, letter, store.Fence{Lease: "l", Epoch: l.Epoch}))
	if len(r.Heads) != 1 || r.Heads[0] != 3 || len(r.Puts) != 2 || r.Puts[1].ID <= r.Puts[0].ID || len(r.Versions) != 1 || r.Versions[0] != 2 || len(r.Letters) != 1 {
		h.Errorf("result = %+v", r)
	}
	const want = `s: 1=1 2=1 3=5000 snapshot 3=6000
old: 2=1
new:
map[p:2]
k=v2/2
in: 4/1/not now
out: 7000/0/ 0/0/
letter never/1
letter edited/2
letter third/1
`
	equal(h, "state", h.state(), want)
	h.reopen()
	equal(h, "state when it is opened again", h.state(), want)
}

func nothing(h *harness) {
	got, letter := seed(h)
	before := h.state()
	for _, c := range []struct {
		spoil  func(b *store.Batch)
		target *fault.Error
	}{
		{func(b *store.Batch) { b.Fence = store.Fence{Lease: "l", Epoch: 3} }, store.ErrStaleEpoch},
		{func(b *store.Batch) { b.Appends = append(b.Appends, appendOf("s", 1, "x")) }, store.ErrWrongPosition},
		{func(b *store.Batch) {
			b.Snapshots = append(b.Snapshots, store.Snapshot{Stream: "s", Position: 4})
		}, store.ErrWrongPosition},
		{func(b *store.Batch) { b.Trims = append(b.Trims, store.Trim{Stream: "s", Through: 4}) }, store.ErrWrongPosition},
		{func(b *store.Batch) { b.Cursors = append(b.Cursors, b.Cursors[0]) }, store.ErrDuplicate},
		{func(b *store.Batch) { b.Sets = append(b.Sets, b.Sets[0]) }, store.ErrConflict},
		{func(b *store.Batch) { b.Acks = append(b.Acks, b.Acks[0]) }, store.ErrReceiptLost},
		{func(b *store.Batch) { b.Nacks = append(b.Nacks, store.Nack{Receipt: b.Acks[0].Receipt}) }, store.ErrReceiptLost},
		{func(b *store.Batch) { b.Buries = append(b.Buries, b.Buries[0]) }, store.ErrReceiptLost},
		{func(b *store.Batch) { b.LetterDeletes[0].Version = 2 }, store.ErrConflict},
		{func(b *store.Batch) { b.LetterDeletes = append(b.LetterDeletes, b.LetterDeletes[0]) }, store.ErrNoLetter},
		{func(b *store.Batch) { b.LetterEdits[0].Version = 2 }, store.ErrConflict},
		{func(b *store.Batch) { b.LetterEdits[0].ID = b.LetterDeletes[0].ID }, store.ErrNoLetter},
		{func(b *store.Batch) { b.Puts = append(b.Puts, store.Put{}) }, store.ErrInvalid},
	} {
		b := all(got, letter, store.Fence{})
		c.spoil(&b)
		h.refused(b, c.target)
		if after := h.state(); after != before {
			h.Fatalf("a batch refused with %v left\n%s, before it was\n%s", c.target, after, before)
		}
	}
	h.commit(all(got, letter, store.Fence{})) // and all of it is still possible
}

func badInput(h *harness) {
	long := strings.Repeat("x", 513)
	e := func(s store.Stream) []store.Append { return []store.Append{{Stream: s, Expected: store.Any}} }
	good := store.Receipt{ID: 1, Grant: 1}
	year0 := time.Date(1, 2, 3, 4, 5, 6, 7, time.UTC)
	for name, b := range map[string]store.Batch{
		"no name":            {Appends: e("")},
		"zero byte":          {Appends: e("a\x00")},
		"line feed":          {Appends: e("a\nb")},
		"delete":             {Appends: e("a\x7f")},
		"control in UTF-8":   {Appends: e("a\u0085")},
		"no UTF-8":           {Appends: e("a\xff")},
		"expected":           {Appends: []store.Append{{Stream: "a", Expected: -2}}},
		"type":               {Appends: []store.Append{{Stream: "a", Events: []store.Event{{Type: "\x01"}}}}},
		"time":               {Appends: []store.Append{{Stream: "a", Events: []store.Event{{Time: year0}}}}},
		"snapshot position":  {Snapshots: []store.Snapshot{{Stream: "a"}}},
		"snapshot stream":    {Snapshots: []store.Snapshot{{Position: 1}}},
		"trim nothing":       {Trims: []store.Trim{{Stream: "a"}}},
		"cursor 0":           {Cursors: []store.Cursor{{Scope: "s", Producer: "p"}}},
		"cursor too high":    {Cursors: []store.Cursor{{Scope: "s", Producer: "p", Seq: 1 << 63}}},
		"cursor producer":    {Cursors: []store.Cursor{{Scope: "s", Seq: 1}}},
		"key":                {Sets: []store.Set{{}}},
		"version":            {Sets: []store.Set{{Key: "k", Expected: -2}}},
		"receipt":            {Acks: []store.Ack{{}}},
		"nack receipt":       {Nacks: []store.Nack{{Receipt: store.Receipt{ID: 1}}}},
		"nack delay":         {Nacks: []store.Nack{{Receipt: good, Delay: 1 << 62}}},
		"bury receipt":       {Buries: []store.Bury{{}}},
		"letter id":          {LetterDeletes: []store.LetterDelete{{}}},
		"letter edit id":     {LetterEdits: []store.Letter{{}}},
		"letter add id":      {LetterAdds: []store.Letter{{ID: 7}}},
		"letter priority":    {LetterAdds: []store.Letter{{Priority: 2}}},
		"letter retries":     {LetterAdds: []store.Letter{{RetryCount: -1}}},
		"queue":              {Puts: []store.Put{{}}},
		"priority":           {Puts: []store.Put{{Queue: "q", Priority: 2}}},
		"delay":              {Puts: []store.Put{{Queue: "q", Delay: 1 << 62}}},
		"dedup without id":   {Puts: []store.Put{{Queue: "q", Dedup: 1}}},
		"dedup too long":     {Puts: []store.Put{{Queue: "q", Dedup: 1 << 60, Envelope: store.Envelope{RequestID: "r"}}}},
		"negative dedup":     {Puts: []store.Put{{Queue: "q", Dedup: -1, Envelope: store.Envelope{RequestID: "r"}}}},
		"trace id":           {Puts: []store.Put{{Queue: "q", Envelope: store.Envelope{TraceID: "\n"}}}},
		"fence without name": {Fence: store.Fence{Epoch: 1}},
		"fence epoch":        {Fence: store.Fence{Lease: "l"}},
	} {
		h.Run(name, func(t *testing.T) {
			sub := *h
			sub.T = t
			sub.refused(b, store.ErrInvalid)
		})
	}
	h.refused(store.Batch{Appends: e(store.Stream(long))}, store.ErrTooLarge)
	h.commit(store.Batch{Appends: []store.Append{appendOf(store.Stream(long[:512]), store.NoStream, "1")}})
	h.commit(store.Batch{Puts: []store.Put{{Queue: "日本語 \"'%_\\", Delay: -5}}})
	equal(h, "messages", len(h.messages("日本語 \"'%_\\")), 1)
}

func limits(h *harness) {
	h.limits = store.Limits{PayloadBytes: 1000, MetaBytes: 100, NameBytes: 10, BatchBytes: 2500, BatchItems: 5}
	h.reopen()
	data := func(n int) store.Event { return store.Event{Data: make([]byte, n)} }
	batch := func(all ...store.Event) store.Batch {
		return store.Batch{Appends: []store.Append{{Stream: "a", Expected: store.Any, Events: all}}}
	}
	for name, b := range map[string]store.Batch{
		"payload":  batch(data(1001)),
		"meta":     batch(store.Event{Meta: make([]byte, 101)}),
		"type":     batch(store.Event{Type: "12345678901"}),
		"bytes":    batch(data(900), data(900), data(900)),
		"items":    batch(make([]store.Event, 6)...),
		"snapshot": {Snapshots: []store.Snapshot{{Stream: "a", Position: 1, Data: make([]byte, 1001)}}},
		"value":    {Sets: []store.Set{{Key: "k", Value: make([]byte, 101)}}},
		"message":  {Puts: []store.Put{{Queue: "q", Envelope: store.Envelope{Data: make([]byte, 1001)}}}},
		"answer":   {Acks: []store.Ack{{Receipt: store.Receipt{ID: 1, Grant: 1}, Answer: make([]byte, 1001)}}},
		"letter":   {LetterAdds: []store.Letter{{Envelope: store.Envelope{Data: make([]byte, 1001)}}}},
		"reason":   {LetterAdds: []store.Letter{{ErrorMessage: strings.Repeat("x", 101)}}},
	} {
		err := h.refused(b, store.ErrTooLarge)
		if !strings.Contains(err.Error(), "Limits.") {
			h.Errorf("%s: the error does not name the limit: %v", name, err)
		}
	}
	h.commit(batch(data(1000), data(1000)))
}

var lifeTests = []test{
	{"a store that is closed", func(h *harness) {
		ctx := h.Context()
		h.append("a", store.NoStream, "1")
		h.must(h.s.Close())
		h.must(h.s.Close())
		_, err := h.s.Commit(ctx, &store.Batch{Puts: []store.Put{{Queue: "q"}}})
		h.is(err, store.ErrClosed)
		h.is(h.readError("a", 0), store.ErrClosed)
		_, err = h.s.Head(ctx, "a")
		h.is(err, store.ErrClosed)
		_, err = h.s.Snapshot(ctx, "a")
		h.is(err, store.ErrClosed)
		_, err = h.s.Receive(ctx, store.ReceiveRequest{Queue: "q"})
		h.is(err, store.ErrClosed)
		_, err = h.s.Messages(ctx, store.MessageFilter{Queue: "q"})
		h.is(err, store.ErrClosed)
		_, err = h.s.Acquire(ctx, "l", "me", hold)
		h.is(err, store.ErrClosed)
		_, err = h.s.Letters(ctx, store.LetterFilter{})
		h.is(err, store.ErrClosed)
		_, err = h.s.Entry(ctx, "k")
		h.is(err, store.ErrClosed)
	}},
	{"closing ends those who wait", func(h *harness) {
		ended := make(chan error, 1)
		s := h.s
		began := make(chan struct{})
		h.put("q", "1")
		go func() {
			var last error
			for _, err := range s.Ready(context.Background(), "") {
				if last = err; err == nil {
					close(began)
				}
			}
			ended <- last
		}()
		<-began
		h.must(h.s.Close())
		h.is(<-ended, store.ErrClosed)
	}},
	{"a context that has ended", func(h *harness) {
		ctx, cancel := context.WithCancel(h.Context())
		cancel()
		_, err := h.s.Commit(ctx, &store.Batch{Appends: []store.Append{appendOf("a", store.NoStream, "1")}})
		if !errors.Is(err, context.Canceled) {
			h.Errorf("error = %v", err)
		}
		for _, err := range h.s.Read(ctx, "a", 0) {
			if !errors.Is(err, context.Canceled) {
				h.Errorf("error = %v", err)
			}
		}
		h.append("a", store.NoStream, "1") // nothing was applied
	}},
}
