package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// hold is long enough not to run out in a test.
const hold = time.Hour

var queueTests = []test{
	{"put, receive, acknowledge", func(h *harness) {
		h.receive(store.ReceiveRequest{Queue: "q"})
		h.put("q", "1", "2", "3")
		got := h.receive(store.ReceiveRequest{Queue: "q", Max: 2, Owner: "me", Hold: hold}, "1", "2")
		for _, m := range got {
			if m.Attempts != 1 || m.Owner != "me" || m.Queue != "q" || m.Time.IsZero() || time.Until(m.Until) < hold/2 {
				h.Errorf("message = %+v", m)
			}
		}
		h.receive(store.ReceiveRequest{Queue: "q", Hold: hold}, "3")
		h.commit(store.Batch{Acks: []store.Ack{{Receipt: got[0].Receipt}}})
		h.refused(store.Batch{Acks: []store.Ack{{Receipt: got[0].Receipt}}}, store.ErrReceiptLost)
		h.refused(store.Batch{Acks: []store.Ack{{Receipt: got[1].Receipt}, {Receipt: got[1].Receipt}}}, store.ErrReceiptLost)
		h.receive(store.ReceiveRequest{Queue: "q"})
		h.stats("q", 0, 2, 0)
	}},
	{"messages keep all they have", messageFields},
	{"what is not acknowledged comes back when the store is opened again", func(h *harness) {
		h.put("q", "1", "2", "3")
		first := h.receive(store.ReceiveRequest{Queue: "q", Max: 2, Hold: time.Millisecond}, "1", "2")
		h.commit(store.Batch{Acks: []store.Ack{{Receipt: first[0].Receipt}}})
		h.reopen()
		var data []string
		for len(data) < 2 { // an engine of a server may still wait for the hold to run out
			for _, m := range h.await(store.ReceiveRequest{Queue: "q", Max: 10, Hold: hold}) {
				data = append(data, string(m.Data))
				if want := map[string]int{"2": 2, "3": 1}[string(m.Data)]; m.Attempts != want {
					h.Errorf("message %s has %d attempts, want %d", m.Data, m.Attempts, want)
				}
			}
		}
		if got := strings.Join(data, ""); got != "23" && got != "32" {
			h.Errorf("received %q", got)
		}
	}},
	{"priorities", func(h *harness) {
		put := func(data string, p store.Priority) store.Put {
			return store.Put{Queue: "q", Priority: p, Envelope: store.Envelope{Data: []byte(data)}}
		}
		h.commit(store.Batch{Puts: []store.Put{put("n1", store.Normal), put("h1", store.High), put("n2", store.Normal), put("h2", store.High)}})
		h.receive(store.ReceiveRequest{Queue: "q", Max: 3, Hold: hold}, "h1", "h2", "n1")
		h.commit(store.Batch{Puts: []store.Put{put("h3", store.High)}})
		h.receive(store.ReceiveRequest{Queue: "q", Hold: hold}, "h3", "n2")
	}},
	{"give back", giveBack},
	{"give back later", func(h *harness) {
		h.put("q", "1", "2")
		got := h.receive(store.ReceiveRequest{Queue: "q", Max: 1, Hold: hold}, "1")
		h.commit(store.Batch{Nacks: []store.Nack{{Receipt: got[0].Receipt, Delay: hold}}})
		h.stats("q", 1, 0, 1)
		h.receive(store.ReceiveRequest{Queue: "q", Hold: hold}, "2")
		h.reopen()
		all := h.messages("q")
		if len(all) != 2 || time.Until(all[0].Until) < hold/2 {
			h.Errorf("messages = %+v", all)
		}
	}},
	{"a hold runs out", func(h *harness) {
		h.put("q", "1")
		first := h.receive(store.ReceiveRequest{Queue: "q", Hold: time.Millisecond}, "1")
		again := h.await(store.ReceiveRequest{Queue: "q", Hold: hold})
		if len(again) != 1 || again[0].Attempts != 2 || again[0].ID != first[0].ID {
			h.Fatalf("received again = %+v", again)
		}
		h.refused(store.Batch{Acks: []store.Ack{{Receipt: first[0].Receipt}}}, store.ErrReceiptLost)
		h.is(h.s.Extend(h.Context(), hold, first[0].Receipt), store.ErrReceiptLost)
		h.commit(store.Batch{Acks: []store.Ack{{Receipt: again[0].Receipt}}})
	}},
	{"a receipt that has run out is good until the message is received again", func(h *harness) {
		h.put("q", "1")
		got := h.receive(store.ReceiveRequest{Queue: "q", Hold: time.Millisecond}, "1")
		h.awaitReady("q")
		h.commit(store.Batch{Acks: []store.Ack{{Receipt: got[0].Receipt}}})
		h.receive(store.ReceiveRequest{Queue: "q"})
		h.stats("q", 0, 0, 0)
	}},
	{"extend", func(h *harness) {
		h.put("q", "1", "2")
		got := h.receive(store.ReceiveRequest{Queue: "q", Hold: 300 * time.Millisecond}, "1", "2")
		h.must(h.s.Extend(h.Context(), hold, got[0].Receipt))
		again := h.await(store.ReceiveRequest{Queue: "q", Max: 10, Hold: hold})
		if !same(payloads(again), []string{"2"}) {
			h.Errorf("received %q", payloads(again))
		}
		h.is(h.s.Extend(h.Context(), hold, got[0].Receipt, got[1].Receipt), store.ErrReceiptLost)
		h.is(h.s.Extend(h.Context(), 0, got[0].Receipt), store.ErrInvalid)
		h.commit(store.Batch{Acks: []store.Ack{{Receipt: got[0].Receipt}}})
	}},
	{"delay", func(h *harness) {
		h.commit(store.Batch{Puts: []store.Put{
			{Queue: "q", Delay: hold, Envelope: store.Envelope{Data: []byte("late")}},
			{Queue: "q", Delay: 5 * time.Millisecond, Envelope: store.Envelope{Data: []byte("soon")}},
		}})
		if got := payloads(h.await(store.ReceiveRequest{Queue: "q", Max: 10, Hold: hold})); !same(got, []string{"soon"}) {
			h.Errorf("received %q", got)
		}
		h.stats("q", 0, 1, 1)
	}},
	{"order within a key", ordered},
	{"order within a key when messages come back", orderedBack},
	{"the same request twice", dedup},
	{"a request is forgotten in time", func(h *harness) {
		put := store.Batch{Puts: []store.Put{{Queue: "q", Dedup: time.Millisecond, Envelope: store.Envelope{RequestID: "r"}}}}
		h.commit(put)
		m := h.await(store.ReceiveRequest{Queue: "q", Hold: hold})
		h.commit(store.Batch{Acks: []store.Ack{{Receipt: m[0].Receipt}}})
		// Something that is sure to take longer than a millisecond by the engine's
		// clock: a message with a delay.
		h.commit(store.Batch{Puts: []store.Put{{Queue: "clock", Delay: 20 * time.Millisecond}}})
		h.await(store.ReceiveRequest{Queue: "clock"})
		_, err := h.s.Answer(h.Context(), "q", "r")
		h.is(err, store.ErrNoRequest)
		if r := h.commit(put); r.Puts[0].Duplicate {
			h.Error("the request is still remembered")
		}
	}},
	{"bury and redrive", bury},
	{"list messages", listMessages},
	{"list queues", listQueues},
	{"a queue that is full", func(h *harness) {
		h.limits.QueueMessages = 3
		h.reopen()
		h.put("q", "1", "2")
		h.refused(store.Batch{Puts: []store.Put{{Queue: "q"}, {Queue: "q"}}}, store.ErrQueueFull)
		h.put("q", "3")
		h.refused(store.Batch{Puts: []store.Put{{Queue: "q"}}}, store.ErrQueueFull)
		h.put("other", "1", "2", "3")
		got := h.receive(store.ReceiveRequest{Queue: "q", Max: 1, Hold: hold}, "1")
		h.refused(store.Batch{Puts: []store.Put{{Queue: "q"}}}, store.ErrQueueFull)
		h.commit(store.Batch{Acks: []store.Ack{{Receipt: got[0].Receipt}}})
		h.put("q", "4")
	}},
	{"waiting for messages", waiting},
	{"bad requests", func(h *harness) {
		for _, r := range []store.ReceiveRequest{
			{}, {Queue: "q", Max: -1}, {Queue: "q", Max: 10_001}, {Queue: "q", Hold: -1}, {Queue: "q", Hold: 25 * time.Hour}, {Queue: "q\x00"},
		} {
			_, err := h.s.Receive(h.Context(), r)
			h.is(err, store.ErrInvalid)
		}
		_, err := h.s.Messages(h.Context(), store.MessageFilter{Queue: "q", Limit: 10_001})
		h.is(err, store.ErrInvalid)
		_, err = h.s.QueueStats(h.Context(), store.QueueFilter{Limit: -1})
		h.is(err, store.ErrInvalid)
		_, err = h.s.Answer(h.Context(), "q", "nothing")
		h.is(err, store.ErrNoRequest)
	}},
}

func (h *harness) messages(q store.Queue) []store.Message {
	h.Helper()
	all, err := h.s.Messages(h.Context(), store.MessageFilter{Queue: q})
	h.must(err)
	return all
}

func (h *harness) stats(q store.Queue, ready, held, delayed int64) {
	h.Helper()
	all, err := h.s.QueueStats(h.Context(), store.QueueFilter{})
	h.must(err)
	got := store.QueueInfo{Queue: q}
	for _, i := range all {
		if i.Queue == q {
			got = i
		}
	}
	if got.Ready != ready || got.Held != held || got.Delayed != delayed {
		h.Errorf("%s has %d ready, %d held, %d delayed; want %d, %d, %d", q, got.Ready, got.Held, got.Delayed, ready, held, delayed)
	}
	if got.Oldest.IsZero() != (ready+held+delayed == 0) {
		h.Errorf("%s: the oldest is of %v", q, got.Oldest)
	}
}

// awaitReady waits until a queue has a message to receive.
func (h *harness) awaitReady(q store.Queue) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 30*time.Second)
	defer cancel()
	for name, err := range h.s.Ready(ctx, q) {
		h.must(err)
		if name == q {
			return
		}
	}
}

func messageFields(h *harness) {
	var b store.Batch
	for _, n := range sizes {
		b.Puts = append(b.Puts, store.Put{
			Queue: "q", Key: "sender", Priority: store.High,
			Envelope: store.Envelope{
				Type: "order/1", Data: pattern(n), Meta: []byte{0, 0xff},
				RequestID: "r", CallerID: "c", TargetID: "t", TraceID: "tr", SpanID: "sp",
			},
		})
	}
	h.commit(b)
	for i := range b.Puts {
		clear(b.Puts[i].Data) // the store must have its own copy
	}
	check := func(m store.Message, n int) {
		h.Helper()
		if m.Type != "order/1" || !bytes.Equal(m.Data, pattern(n)) || !bytes.Equal(m.Meta, []byte{0, 0xff}) || m.Key != "sender" || m.Priority != store.High ||
			m.RequestID != "r" || m.CallerID != "c" || m.TargetID != "t" || m.TraceID != "tr" || m.SpanID != "sp" {
			m.Data = nil
			h.Errorf("message of %d bytes = %+v", n, m)
		}
	}
	for range 2 {
		for i, m := range h.messages("q") {
			check(m, sizes[i])
			equal(h, "attempts", m.Attempts, 0)
			equal(h, "receipt", m.Receipt, store.Receipt{})
		}
		h.reopen()
	}
	got, err := h.s.Receive(h.Context(), store.ReceiveRequest{Queue: "q", Max: 100, Hold: hold})
	h.must(err)
	equal(h, "messages", len(got), len(sizes))
	for i, m := range got {
		check(m, sizes[i])
		h.commit(store.Batch{Acks: []store.Ack{{Receipt: m.Receipt}}})
	}
}

func giveBack(h *harness) {
	h.put("q", "1", "2")
	got := h.receive(store.ReceiveRequest{Queue: "q", Hold: hold}, "1", "2")
	h.commit(store.Batch{Nacks: []store.Nack{
		{Receipt: got[0].Receipt, Reason: "because\x00 of \xff" + strings.Repeat("é", 1000)},
		{Receipt: got[1].Receipt, Uncounted: true},
	}})
	h.refused(store.Batch{Acks: []store.Ack{{Receipt: got[0].Receipt}}}, store.ErrReceiptLost)
	again := h.receive(store.ReceiveRequest{Queue: "q", Hold: hold}, "1", "2")
	equal(h, "attempts of a failure", again[0].Attempts, 2)
	equal(h, "attempts of what was not tried", again[1].Attempts, 1)
	if e := again[0].LastError; !strings.HasPrefix(e, "because of éé") || len(e) < 1000 || len(e) > store.ReasonBytes {
		h.Errorf("last error = %q", e)
	}
	// Back at its old place, before what came meanwhile.
	h.put("q", "3")
	h.commit(store.Batch{Nacks: []store.Nack{{Receipt: again[1].Receipt}, {Receipt: again[0].Receipt}}})
	h.receive(store.ReceiveRequest{Queue: "q", Hold: hold}, "1", "2", "3")
}

// keyed puts messages whose first letter is their key.
func (h *harness) keyed(q store.Queue, data ...string) {
	h.Helper()
	var b store.Batch
	for _, d := range data {
		b.Puts = append(b.Puts, store.Put{Queue: q, Key: strings.Trim(d[:1], "-"), Envelope: store.Envelope{Data: []byte(d)}})
	}
	h.commit(b)
}

func ordered(h *harness) {
	r := store.ReceiveRequest{Queue: "q", Hold: hold, Ordered: true}
	h.keyed("q", "a1", "a2", "b1", "-1", "-2", "a3", "b2")
	one := r
	one.Max = 1
	a1 := h.receive(one, "a1")
	b1 := h.receive(one, "b1") // a2 is behind a1
	h.receive(one, "-1")       // no key, no order
	h.receive(r, "-2")
	h.receive(r)
	h.commit(store.Batch{Acks: []store.Ack{{Receipt: a1[0].Receipt}}})
	h.receive(r, "a2", "a3") // one call may have several of a key
	h.commit(store.Batch{Nacks: []store.Nack{{Receipt: b1[0].Receipt}}})
	h.receive(r, "b1", "b2")
	// Who does not ask for order gets everything.
	h.keyed("q", "a4")
	h.receive(r)
	r.Ordered = false
	h.receive(r, "a4")
}

func orderedBack(h *harness) {
	r := store.ReceiveRequest{Queue: "q", Hold: hold, Ordered: true, Max: 1}
	h.keyed("q", "a1", "a2")
	got := h.receive(r, "a1")
	h.commit(store.Batch{Nacks: []store.Nack{{Receipt: got[0].Receipt, Delay: hold}}})
	h.receive(r)
	// A delayed message does not hold up those before it, and those of another
	// priority.
	h.commit(store.Batch{Puts: []store.Put{
		{Queue: "p", Key: "a", Envelope: store.Envelope{Data: []byte("1")}},
		{Queue: "p", Key: "a", Delay: hold, Envelope: store.Envelope{Data: []byte("2")}},
		{Queue: "p", Key: "a", Envelope: store.Envelope{Data: []byte("3")}},
		{Queue: "p", Key: "a", Priority: store.High, Envelope: store.Envelope{Data: []byte("high")}},
	}})
	r.Queue, r.Max = "p", 10
	h.receive(r, "high", "1")
	h.receive(r)
	h.reopen()
	all := h.messages("q")
	if len(all) != 2 || all[0].Until.IsZero() || !all[1].Until.IsZero() {
		h.Errorf("messages = %+v", all)
	}
	r.Queue = "q"
	h.receive(r)
}

func dedup(h *harness) {
	put := func(q store.Queue, id, data string) store.Put {
		return store.Put{Queue: q, Dedup: hold, Envelope: store.Envelope{RequestID: id, Data: []byte(data)}}
	}
	first := h.commit(store.Batch{Puts: []store.Put{put("q", "r1", "1")}}).Puts[0]
	if first.Duplicate || first.Answer.Done {
		h.Errorf("the first put gave %+v", first)
	}
	for range 2 {
		again := h.commit(store.Batch{Puts: []store.Put{put("q", "r1", "other"), put("q2", "r1", "elsewhere")}})
		if p := again.Puts[0]; !p.Duplicate || p.ID != first.ID || p.Answer.Done {
			h.Errorf("the second put gave %+v", p)
		}
		h.reopen()
	}
	h.stats("q", 1, 0, 0)
	h.stats("q2", 1, 0, 0)
	answer, err := h.s.Answer(h.Context(), "q", "r1")
	h.must(err)
	equal(h, "done", answer.Done, false)
	m := h.receive(store.ReceiveRequest{Queue: "q", Hold: hold}, "1")
	// Acknowledged and put again in one batch: it is done.
	r := h.commit(store.Batch{
		Acks: []store.Ack{{Receipt: m[0].Receipt, AnswerType: "reply/1", Answer: pattern(9000)}},
		Puts: []store.Put{put("q", "r1", "again"), put("q", "r2", "x"), put("q", "r2", "x")},
	})
	if !r.Puts[0].Duplicate || !r.Puts[0].Answer.Done || r.Puts[1].Duplicate || !r.Puts[2].Duplicate || r.Puts[2].ID != r.Puts[1].ID {
		h.Errorf("the puts gave %+v", r.Puts)
	}
	for range 2 {
		p := h.commit(store.Batch{Puts: []store.Put{put("q", "r1", "late")}}).Puts[0]
		answer, err := h.s.Answer(h.Context(), "q", "r1")
		h.must(err)
		for _, a := range []store.Answer{p.Answer, answer} {
			if !a.Done || a.Type != "reply/1" || !bytes.Equal(a.Data, pattern(9000)) || time.Since(a.Time).Abs() > time.Hour {
				h.Errorf("answer = %v %q %d bytes at %v", a.Done, a.Type, len(a.Data), a.Time)
			}
		}
		h.reopen()
	}
	h.stats("q", 1, 0, 0)
	// What was refused is not remembered.
	h.refused(store.Batch{Sets: []store.Set{{Key: "k", Expected: 9}}, Puts: []store.Put{put("q", "r3", "")}}, store.ErrConflict)
	if h.commit(store.Batch{Puts: []store.Put{put("q", "r3", "")}}).Puts[0].Duplicate {
		h.Error("a refused put is remembered")
	}
}

func bury(h *harness) {
	big := pattern(10_000)
	h.commit(store.Batch{Puts: []store.Put{{
		Queue: "q", Key: "k", Priority: store.High, Dedup: hold,
		Envelope: store.Envelope{Type: "t", Data: big, Meta: []byte("m"), RequestID: "r", CallerID: "c", TargetID: "a", TraceID: "tr", SpanID: "sp"},
	}}})
	m, err := h.s.Receive(h.Context(), store.ReceiveRequest{Queue: "q", Hold: hold})
	h.must(err)
	h.commit(store.Batch{Nacks: []store.Nack{{Receipt: m[0].Receipt}}})
	m, err = h.s.Receive(h.Context(), store.ReceiveRequest{Queue: "q", Hold: hold})
	h.must(err)
	b := store.Batch{Buries: []store.Bury{{Receipt: m[0].Receipt, Reason: "does not decode", Code: "POISON"}}}
	h.commit(b)
	h.refused(b, store.ErrReceiptLost)
	h.stats("q", 0, 0, 0)
	h.reopen()
	l, err := h.s.Letter(h.Context(), store.LetterID(m[0].ID))
	h.must(err)
	if l.Version != 1 || l.Queue != "q" || l.Key != "k" || l.Priority != store.High || l.Type != "t" || !bytes.Equal(l.Data, big) || string(l.Meta) != "m" ||
		l.RequestID != "r" || l.CallerID != "c" || l.TargetID != "a" || l.TraceID != "tr" || l.SpanID != "sp" ||
		l.ErrorMessage != "does not decode" || l.ErrorType != "POISON" || l.RetryCount != 1 || l.CreatedAt.IsZero() || l.LastRetryAt.IsZero() {
		l.Data = nil
		h.Errorf("letter = %+v", l)
	}
	answer, err := h.s.Answer(h.Context(), "q", "r")
	h.must(err)
	equal(h, "done", answer.Done, true)

	// Req F9: redrive is one transaction, and works once.
	redrive := store.Batch{Puts: []store.Put{l.Put()}, LetterDeletes: []store.LetterDelete{{ID: l.ID, Version: l.Version}}}
	h.commit(redrive)
	h.refused(redrive, store.ErrNoLetter)
	h.stats("q", 1, 0, 0)
	back, err := h.s.Receive(h.Context(), store.ReceiveRequest{Queue: "q", Hold: hold})
	h.must(err)
	if len(back) != 1 || back[0].Attempts != 1 || !bytes.Equal(back[0].Data, big) || back[0].Key != "k" || back[0].RequestID != "r" {
		h.Errorf("redriven = %d messages", len(back))
	}
}

func listMessages(h *harness) {
	ids := h.put("q", "1", "2", "3", "4", "5")
	h.put("p", "x")
	got := h.receive(store.ReceiveRequest{Queue: "q", Max: 3, Owner: "me", Hold: hold}, "1", "2", "3")
	h.commit(store.Batch{Acks: []store.Ack{{Receipt: got[0].Receipt}}, Nacks: []store.Nack{{Receipt: got[1].Receipt, Reason: "why"}}})
	all := h.messages("q")
	if !same(payloads(all), []string{"2", "3", "4", "5"}) {
		h.Fatalf("messages = %q", payloads(all))
	}
	if all[0].LastError != "why" || !all[0].Until.IsZero() || all[1].Owner != "me" || all[1].Until.IsZero() || all[1].ID != ids[2] {
		h.Errorf("messages = %+v", all)
	}
	var pages []string
	f := store.MessageFilter{Queue: "q", Limit: 2}
	for range 5 {
		page, err := h.s.Messages(h.Context(), f)
		h.must(err)
		pages = append(pages, strings.Join(payloads(page), ""))
		if len(page) < f.Limit {
			break
		}
		f.After = page[len(page)-1].ID
	}
	equal(h, "pages", fmt.Sprint(pages), "[23 45 ]")
	// From behind a message that is gone.
	page, err := h.s.Messages(h.Context(), store.MessageFilter{Queue: "q", After: ids[0]})
	h.must(err)
	equal(h, "messages behind one that is gone", len(page), 4)
	h.reopen()
	equal(h, "messages", len(h.messages("q")), 4)
}

func listQueues(h *harness) {
	for _, q := range []store.Queue{"a/1", "a/2", "b", "a%", "a/3"} {
		h.put(q, "1", "2")
	}
	m := h.receive(store.ReceiveRequest{Queue: "a/3", Hold: hold}, "1", "2")
	h.commit(store.Batch{Acks: []store.Ack{{Receipt: m[0].Receipt}, {Receipt: m[1].Receipt}}})
	list := func(f store.QueueFilter) string {
		h.Helper()
		all, err := h.s.QueueStats(h.Context(), f)
		h.must(err)
		var names []string
		for _, q := range all {
			if q.Ready+q.Held+q.Delayed > 0 {
				names = append(names, string(q.Queue))
			}
		}
		return strings.Join(names, " ")
	}
	for range 2 {
		equal(h, "all", list(store.QueueFilter{}), "a% a/1 a/2 b")
		equal(h, "a/", list(store.QueueFilter{Prefix: "a/"}), "a/1 a/2")
		equal(h, "page", list(store.QueueFilter{After: "a%", Limit: 2}), "a/1 a/2")
		h.reopen()
	}
}

func waiting(h *harness) {
	ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
	defer cancel()
	names := make(chan store.Queue)
	ended := make(chan error, 1)
	watching, stop := context.WithCancel(ctx)
	h.put("w/before", "1")
	s := h.s
	go func() {
		var last error
		for name, err := range s.Ready(watching, "w/") {
			if err != nil {
				last = err
				break
			}
			names <- name
		}
		ended <- last
	}()
	// An engine may name a queue again that still has messages, so others are
	// passed over.
	expect := func(want store.Queue) {
		h.Helper()
		for {
			select {
			case got := <-names:
				if got == want {
					return
				}
				if !strings.HasPrefix(string(got), "w/") {
					h.Fatalf("%s was told, which has another prefix", got)
				}
			case <-ctx.Done():
				h.Fatalf("%s was not told", want)
			}
		}
	}
	expect("w/before")
	h.put("elsewhere", "1")
	h.put("w/put", "1")
	expect("w/put")
	h.commit(store.Batch{Puts: []store.Put{{Queue: "w/late", Delay: 3 * time.Millisecond}}})
	expect("w/late")
	m := h.receive(store.ReceiveRequest{Queue: "w/put", Hold: hold}, "1")
	h.commit(store.Batch{Nacks: []store.Nack{{Receipt: m[0].Receipt}}})
	expect("w/put")
	h.receive(store.ReceiveRequest{Queue: "w/before", Hold: 2 * time.Millisecond}, "1")
	expect("w/before")
	stop()
	for running := true; running; {
		select {
		case <-names: // told before it was stopped
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				h.Errorf("Ready ended with %v", err)
			}
			running = false
		}
	}
	// A call that waits, and one that waits in vain.
	got := make(chan error, 1)
	go func() {
		m, err := store.Receive(ctx, s, store.ReceiveRequest{Queue: "r", Hold: hold})
		if err == nil && (len(m) != 1 || string(m[0].Data) != "hello") {
			err = fmt.Errorf("received %v", m)
		}
		got <- err
	}()
	h.put("rr", "for a longer name")
	h.put("r", "hello")
	h.must(<-got)
	short, cancelShort := context.WithTimeout(ctx, time.Millisecond)
	defer cancelShort()
	if _, err := store.Receive(short, s, store.ReceiveRequest{Queue: "r"}); !errors.Is(err, context.DeadlineExceeded) {
		h.Errorf("waiting in vain ended with %v", err)
	}
}
