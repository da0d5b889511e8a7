package storetest

import (
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/store"
)

// compare compares all of a store with the model.
func (w *walk) compare() {
	w.Helper()
	w.compareStreams()
	w.compareQueues()
	ctx := w.Context()
	for _, scope := range []string{"s", "t"} {
		got, err := w.s.Cursors(ctx, scope)
		w.must(err)
		if !maps.Equal(got, w.m.cursors[scope]) {
			w.Errorf("cursors of %s = %v, want %v", scope, got, w.m.cursors[scope])
		}
	}
	entries, err := w.s.Entries(ctx, store.EntryFilter{})
	w.must(err)
	equal(w.harness, "entries", len(entries), len(w.m.entries))
	for _, e := range entries {
		if want := w.m.entries[e.Key]; e.Version != want.Version || string(e.Value) != string(want.Value) {
			w.Errorf("entry %s has version %d, want %d", e.Key, e.Version, want.Version)
		}
	}
	letters, err := w.s.Letters(ctx, store.LetterFilter{Limit: 10_000})
	w.must(err)
	equal(w.harness, "letters", len(letters), len(w.m.letters))
	for _, l := range letters {
		want := w.m.letters[l.ID]
		if l.Version != want.Version || string(l.Data) != string(want.Data) || l.ErrorMessage != want.ErrorMessage || l.RetryCount != want.RetryCount || l.Queue != want.Queue {
			l.Data, want.Data = nil, nil
			w.Errorf("letter %+v, want %+v", l, want)
		}
	}
	if c, can := w.s.(store.Checker); can {
		findings, err := c.Check(ctx)
		w.must(err)
		if len(findings) > 0 {
			w.Errorf("findings: %v", findings)
		}
	}
}

func (w *walk) compareStreams() {
	w.Helper()
	infos, err := w.s.Streams(w.Context(), store.StreamFilter{})
	w.must(err)
	equal(w.harness, "streams", len(infos), len(w.m.streams))
	for _, info := range infos {
		want := w.m.streams[info.Stream]
		if info.First != want.first || info.Head != store.Position(len(want.events)) {
			w.Errorf("stream %+v, want %d to %d", info, want.first, len(want.events))
			continue
		}
		if got := w.events(info.Stream, 0); !slices.Equal(got, want.events[want.first-1:]) {
			w.Errorf("stream %s has %d events, want %d, or they differ", info.Stream, len(got), len(want.events))
		}
		n, err := w.s.Snapshot(w.Context(), info.Stream)
		if want.snapshot.Position == 0 {
			w.is(err, store.ErrNoSnapshot)
			continue
		}
		w.must(err)
		if n.Position != want.snapshot.Position || string(n.Data) != string(want.snapshot.Data) {
			w.Errorf("snapshot of %s is at %d, want %d, or differs", info.Stream, n.Position, want.snapshot.Position)
		}
	}
}

func (w *walk) compareQueues() {
	w.Helper()
	total := 0
	for _, q := range []store.Queue{"q", "q/1"} {
		all, err := w.s.Messages(w.Context(), store.MessageFilter{Queue: q, Limit: 10_000})
		w.must(err)
		var ready, held, delayed int64
		for _, m := range all {
			w.same(m)
			switch want := w.m.messages[m.ID]; {
			case want.delayed:
				delayed++
			case want.receipt != store.Receipt{}:
				held++
			default:
				ready++
			}
		}
		w.stats(q, ready, held, delayed)
		total += len(all)
	}
	equal(w.harness, "messages", total, len(w.m.messages))
	for key, want := range w.m.requests {
		q, id := store.Queue("q"), key[2:]
		if key[:3] == "q/1" && len(key) > 3 && key[3] == '/' {
			q, id = "q/1", key[4:]
		}
		got, err := w.s.Answer(w.Context(), q, id)
		w.must(err)
		if got.Done != want.done || string(got.Data) != want.answer {
			w.Errorf("answer of %s = %+v, want %+v", key, got, want)
		}
	}
}
