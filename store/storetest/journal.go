package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// sizes are payloads around the border between rows and blobs.
var sizes = []int{0, 1, store.BlobThreshold - 1, store.BlobThreshold, store.BlobThreshold + 1, 100_000, 1 << 20}

var journalTests = []test{
	{"append and read", func(h *harness) {
		equal(h, "head", h.append("a", store.NoStream, "1", "2"), 2)
		equal(h, "head", h.append("a", 2, "3"), 3)
		equal(h, "head", h.append("a", store.Any, "4"), 4)
		equal(h, "head", h.append("b", store.Any, "x"), 1)
		for from, want := range map[store.Position][]string{
			0: {"1", "2", "3", "4"}, 1: {"1", "2", "3", "4"}, 3: {"3", "4"}, 4: {"4"}, 5: nil, 1000: nil,
		} {
			if got := h.events("a", from); !same(got, want) {
				h.Errorf("events from %d = %q, want %q", from, got, want)
			}
		}
		head, err := h.s.Head(h.Context(), "a")
		h.must(err)
		equal(h, "Head", head, 4)
		h.reopen()
		if got := h.events("a", 0); !same(got, []string{"1", "2", "3", "4"}) {
			h.Errorf("events after opening it again = %q", got)
		}
		equal(h, "head", h.append("a", 4, "5"), 5)
	}},
	{"wrong position", func(h *harness) {
		h.append("a", store.NoStream, "1", "2")
		for _, expected := range []store.Position{store.NoStream, 1, 3, 1000} {
			err := h.refused(store.Batch{Appends: []store.Append{appendOf("a", expected, "x")}}, store.ErrWrongPosition)
			var data *store.PositionError
			if !errors.As(err, &data) || data.Actual != 2 || data.Expected != expected || data.Stream != "a" {
				h.Errorf("the error's data are %+v", data)
			}
		}
		err := h.refused(store.Batch{Appends: []store.Append{appendOf("new", 1, "x")}}, store.ErrWrongPosition)
		if data := (*store.PositionError)(nil); !errors.As(err, &data) || data.Actual != store.NoStream {
			h.Errorf("the error's data are %+v", data)
		}
		h.is(h.readError("new", 0), store.ErrUnknownStream)
	}},
	{"an append without events checks", func(h *harness) {
		h.append("a", store.NoStream, "1")
		equal(h, "head", h.append("a", 1), 1)
		h.refused(store.Batch{Appends: []store.Append{{Stream: "a", Expected: 0}}}, store.ErrWrongPosition)
		equal(h, "head", h.append("b", store.NoStream), 0)
		h.is(h.readError("b", 0), store.ErrUnknownStream)
	}},
	{"several appends to one stream in a batch", func(h *harness) {
		r := h.commit(store.Batch{Appends: []store.Append{
			appendOf("a", store.NoStream, "1"), appendOf("b", store.NoStream, "x"), appendOf("a", 1, "2", "3"), appendOf("a", store.Any, "4"),
		}})
		equal(h, "heads", fmt.Sprint(r.Heads), "[1 1 3 4]")
		if got := h.events("a", 0); !same(got, []string{"1", "2", "3", "4"}) {
			h.Errorf("events = %q", got)
		}
		h.refused(store.Batch{Appends: []store.Append{appendOf("a", 4, "5"), appendOf("a", 4, "6")}}, store.ErrWrongPosition)
		if got := h.events("a", 4); !same(got, []string{"4"}) {
			h.Errorf("a refused batch left %q", got)
		}
	}},
	{"unknown stream", func(h *harness) {
		h.is(h.readError("nobody", 0), store.ErrUnknownStream)
		_, err := h.s.Head(h.Context(), "nobody")
		h.is(err, store.ErrUnknownStream)
		_, err = h.s.Snapshot(h.Context(), "nobody")
		h.is(err, store.ErrNoSnapshot)
	}},
	{"events keep all they have", allFields},
	{"payloads of all sizes", payloadSizes},
	{"a reader may stop", func(h *harness) {
		h.append("a", store.NoStream, "1", "2", "3")
		for range 20 {
			for e, err := range h.s.Read(h.Context(), "a", 0) {
				h.must(err)
				if e.Position == 2 {
					break
				}
			}
		}
	}},
	{"a reader may write and read", func(h *harness) {
		h.append("a", store.NoStream, "1", "2", "3")
		for e, err := range h.s.Read(h.Context(), "a", 0) {
			h.must(err)
			h.append("copy", store.Any, string(e.Data))
			h.events("copy", 0)
		}
		if got := h.events("copy", 0); !same(got, []string{"1", "2", "3"}) {
			h.Errorf("copy = %q", got)
		}
	}},
	{"many pages", manyPages},
	{"snapshots", snapshots},
	{"trim", trim},
	{"remove a stream", removeStream},
	{"list streams", listStreams},
	{"cursors", cursors},
}

func allFields(h *harness) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)
	want := store.Event{
		Stream: "all", Position: 1, Time: at, Type: "deposited/2",
		Meta: []byte{0, 1, 0xff}, Data: []byte("\x00\xff\xfe data"),
	}
	// What is set by the store is ignored when it comes in.
	in := want
	in.Stream, in.Position = "other", 77
	h.commit(store.Batch{Appends: []store.Append{{Stream: "all", Events: []store.Event{in, {}}}}})
	for range 2 {
		n := 0
		for e, err := range h.s.Read(h.Context(), "all", 0) {
			h.must(err)
			n++
			if n == 1 && (e.Stream != want.Stream || e.Position != want.Position || !e.Time.Equal(want.Time) || e.Type != want.Type ||
				!bytes.Equal(e.Meta, want.Meta) || !bytes.Equal(e.Data, want.Data)) {
				h.Errorf("event = %+v, want %+v", e, want)
			}
			if n == 2 && (len(e.Data)+len(e.Meta)+len(e.Type) > 0 || time.Since(e.Time).Abs() > time.Hour) {
				h.Errorf("empty event = %+v", e)
			}
		}
		equal(h, "events", n, 2)
		h.reopen()
	}
}

func payloadSizes(h *harness) {
	var a store.Append
	a.Stream = "sizes"
	for _, n := range sizes {
		a.Events = append(a.Events, store.Event{Data: pattern(n)})
	}
	h.commit(store.Batch{Appends: []store.Append{a}})
	for i := range a.Events {
		clear(a.Events[i].Data) // the store must have its own copy
	}
	for range 2 {
		i := 0
		for e, err := range h.s.Read(h.Context(), "sizes", 0) {
			h.must(err)
			if !bytes.Equal(e.Data, pattern(sizes[i])) {
				h.Errorf("payload of %d bytes came back with %d, or other", sizes[i], len(e.Data))
			}
			clear(e.Data) // what is returned is the caller's
			i++
		}
		equal(h, "events", i, len(sizes))
		h.reopen()
	}
}

// pattern is n bytes that are different everywhere.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func manyPages(h *harness) {
	const batches, each = 50, 200
	for i := range batches {
		a := store.Append{Stream: "long", Expected: store.Position(i * each)}
		for k := range each {
			a.Events = append(a.Events, store.Event{Data: fmt.Appendf(nil, "%d", i*each+k+1)})
		}
		h.commit(store.Batch{Appends: []store.Append{a}})
		if i == batches/2 {
			h.reopen()
		}
	}
	for _, from := range []store.Position{0, 1, 4999, 5000, 5001, batches * each} {
		got := h.events("long", from)
		first := max(1, from)
		if len(got) != batches*each-int(first)+1 {
			h.Fatalf("read %d events from %d", len(got), from)
		}
		for i, d := range got {
			if d != fmt.Sprint(int(first)+i) {
				h.Fatalf("event %d has %q", int(first)+i, d)
			}
		}
	}
}

func snapshots(h *harness) {
	ctx := h.Context()
	h.append("a", store.NoStream, "1", "2")
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	for i, n := range sizes {
		p := store.Position(1 + i%2)
		h.commit(store.Batch{Snapshots: []store.Snapshot{{Stream: "a", Position: p, Type: "state", Time: at, Data: pattern(n)}}})
		if i == 4 {
			h.reopen()
		}
		got, err := h.s.Snapshot(ctx, "a")
		h.must(err)
		if got.Stream != "a" || got.Position != p || got.Type != "state" || !got.Time.Equal(at) || !bytes.Equal(got.Data, pattern(n)) {
			h.Errorf("snapshot of %d bytes: %d bytes at %d, %q, %v", n, len(got.Data), got.Position, got.Type, got.Time)
		}
	}
	// At the head that the same batch makes, but not beyond.
	h.commit(store.Batch{
		Appends:   []store.Append{appendOf("b", store.NoStream, "1")},
		Snapshots: []store.Snapshot{{Stream: "b", Position: 1}},
	})
	h.refused(store.Batch{
		Appends:   []store.Append{appendOf("b", 1, "2")},
		Snapshots: []store.Snapshot{{Stream: "b", Position: 3}},
	}, store.ErrWrongPosition)
	h.refused(store.Batch{Snapshots: []store.Snapshot{{Stream: "none", Position: 1}}}, store.ErrWrongPosition)
	got, err := h.s.Snapshot(ctx, "b")
	h.must(err)
	equal(h, "position", got.Position, 1)
	if got.Time.IsZero() {
		h.Error("the snapshot has no time")
	}
}

func trim(h *harness) {
	big := string(pattern(10_000))
	h.append("a", store.NoStream, "1", big, "3", "4")
	h.append("b", store.NoStream, "1", "2", "3")
	for range 2 {
		h.commit(store.Batch{Trims: []store.Trim{{Stream: "a", Through: 2}, {Stream: "b", Through: 3}}})
		if got := h.events("a", 0); !same(got, []string{"3", "4"}) {
			h.Errorf("events = %q", got)
		}
		h.is(h.readError("a", 1), store.ErrTrimmed)
		h.is(h.readError("a", 2), store.ErrTrimmed)
		if got := h.events("b", 0); len(got) > 0 {
			h.Errorf("events = %q", got)
		}
		head, err := h.s.Head(h.Context(), "b")
		h.must(err)
		equal(h, "head", head, 3)
		h.reopen() // and trim once more what is trimmed
	}
	h.commit(store.Batch{Trims: []store.Trim{{Stream: "a", Through: 1}}}) // less than before: nothing
	if got := h.events("a", 3); !same(got, []string{"3", "4"}) {
		h.Errorf("events = %q", got)
	}
	equal(h, "head", h.append("b", 3, "4"), 4)
	if got := h.events("b", 0); !same(got, []string{"4"}) {
		h.Errorf("events = %q", got)
	}
	h.refused(store.Batch{Trims: []store.Trim{{Stream: "a", Through: 5}}}, store.ErrWrongPosition)
	h.commit(store.Batch{Trims: []store.Trim{{Stream: "unknown", Through: 5}}})
}

func removeStream(h *harness) {
	ctx := h.Context()
	everything := store.Batch{Trims: []store.Trim{{Stream: "a", Through: store.Everything}}}
	for round := range 3 {
		equal(h, "head", h.append("a", store.NoStream, "1", string(pattern(9000))), 2)
		h.commit(store.Batch{Snapshots: []store.Snapshot{{Stream: "a", Position: 2, Data: pattern(9000)}}})
		if round == 1 {
			h.reopen()
		}
		h.commit(everything)
		if round == 2 {
			h.reopen()
		}
		h.is(h.readError("a", 0), store.ErrUnknownStream)
		_, err := h.s.Head(ctx, "a")
		h.is(err, store.ErrUnknownStream)
		_, err = h.s.Snapshot(ctx, "a")
		h.is(err, store.ErrNoSnapshot)
		all, err := h.s.Streams(ctx, store.StreamFilter{})
		h.must(err)
		equal(h, "streams", len(all), 0)
	}
	h.commit(everything)
	// The appends of a batch come before its trims.
	h.append("a", store.NoStream, "1")
	h.commit(store.Batch{Appends: []store.Append{appendOf("a", 1, "2")}, Trims: everything.Trims})
	h.is(h.readError("a", 0), store.ErrUnknownStream)
	// One that is refused removes nothing.
	h.append("a", store.NoStream, "1")
	h.refused(store.Batch{Trims: everything.Trims, Sets: []store.Set{{Key: "k", Expected: 7}}}, store.ErrConflict)
	equal(h, "head", h.append("a", 1, "2"), 2)
}

func listStreams(h *harness) {
	ctx := h.Context()
	names := []store.Stream{"a/1", "a/2", "a/3", "b", "a%", "a_", "A/1", "é/1", "é/2", "a"}
	for i, n := range names {
		if i == 5 {
			h.reopen()
		}
		h.append(n, store.NoStream, strings.Split("123456789"[:i%3+1], "")...)
	}
	h.commit(store.Batch{Trims: []store.Trim{{Stream: "a/3", Through: 1}}})
	list := func(f store.StreamFilter) string {
		h.Helper()
		all, err := h.s.Streams(ctx, f)
		h.must(err)
		var text []string
		for _, s := range all {
			text = append(text, fmt.Sprintf("%s:%d-%d", s.Stream, s.First, s.Head))
		}
		return strings.Join(text, " ")
	}
	equal(h, "a/", list(store.StreamFilter{Prefix: "a/"}), "a/1:1-1 a/2:1-2 a/3:2-3")
	equal(h, "a%", list(store.StreamFilter{Prefix: "a%"}), "a%:1-2")
	equal(h, "é", list(store.StreamFilter{Prefix: "é"}), "é/1:1-2 é/2:1-3")
	equal(h, "none", list(store.StreamFilter{Prefix: "zz"}), "")
	equal(h, "page 1", list(store.StreamFilter{Prefix: "a", Limit: 3}), "a:1-1 a%:1-2 a/1:1-1")
	equal(h, "page 2", list(store.StreamFilter{Prefix: "a", After: "a/1", Limit: 3}), "a/2:1-2 a/3:2-3 a_:1-3")
	all, err := h.s.Streams(ctx, store.StreamFilter{})
	h.must(err)
	equal(h, "all", len(all), len(names))
	_, err = h.s.Streams(ctx, store.StreamFilter{Limit: -1})
	h.is(err, store.ErrInvalid)
	_, err = h.s.Streams(ctx, store.StreamFilter{Limit: 10_001})
	h.is(err, store.ErrInvalid)
}

func cursors(h *harness) {
	ctx := h.Context()
	at := func(scope string, p store.Producer, seq uint64) store.Batch {
		return store.Batch{Cursors: []store.Cursor{{Scope: scope, Producer: p, Seq: seq}}}
	}
	h.commit(at("s", "p", 3))
	h.commit(at("s", "q", 1))
	h.commit(at("t", "p", 1<<63-1))
	h.reopen()
	for _, seq := range []uint64{1, 3} {
		err := h.refused(at("s", "p", seq), store.ErrDuplicate)
		if data := (*store.DuplicateError)(nil); !errors.As(err, &data) || data.Stored != 3 || data.Seq != seq || data.Producer != "p" || data.Scope != "s" {
			h.Errorf("the error's data are %+v", data)
		}
	}
	h.commit(at("s", "p", 4))
	h.refused(store.Batch{Cursors: []store.Cursor{{Scope: "s", Producer: "p", Seq: 6}, {Scope: "s", Producer: "p", Seq: 6}}}, store.ErrDuplicate)
	for range 2 {
		got, err := h.s.Cursors(ctx, "s")
		h.must(err)
		equal(h, "cursors", fmt.Sprint(got), "map[p:4 q:1]")
		got, err = h.s.Cursors(ctx, "t")
		h.must(err)
		equal(h, "cursors", got["p"], 1<<63-1)
		h.reopen()
	}
	h.commit(store.Batch{Cursors: []store.Cursor{{Scope: "s", Producer: "p", Forget: true}, {Scope: "s", Producer: "nobody", Forget: true}}})
	h.commit(at("s", "p", 1))
	got, err := h.s.Cursors(ctx, "s")
	h.must(err)
	equal(h, "cursors", fmt.Sprint(got), "map[p:1 q:1]")
	got, err = h.s.Cursors(ctx, "nowhere")
	h.must(err)
	equal(h, "cursors of nowhere", len(got), 0)
}
