package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// Req F9
var letterTests = []test{
	{"add, edit, delete", letterLife},
	{"list and count", listLetters},
	{"ids are never given twice", func(h *harness) {
		seen := map[store.LetterID]bool{}
		for range 3 {
			r := h.commit(store.Batch{LetterAdds: []store.Letter{{}, {}}})
			ids := h.put("q", "x")
			for _, id := range append(r.Letters, store.LetterID(ids[0])) {
				if seen[id] {
					h.Errorf("id %d was given before", id)
				}
				seen[id] = true
			}
			for _, id := range r.Letters {
				h.commit(store.Batch{LetterDeletes: []store.LetterDelete{{ID: id}}})
			}
			h.reopen()
		}
	}},
}

func letterLife(h *harness) {
	ctx := h.Context()
	at := time.Date(2026, 5, 6, 7, 8, 9, 10_000_000, time.UTC)
	in := store.Letter{
		Queue: "q", Priority: store.High, Key: "k",
		Envelope: store.Envelope{
			Type: "order/1", Data: pattern(10_000), Meta: []byte{0, 1},
			RequestID: "r", CallerID: "c", TargetID: "t", TraceID: "tr", SpanID: "sp",
		},
		ErrorMessage: "it's \"bad\"\n", ErrorType: "POISON", RetryCount: 3, CreatedAt: at, LastRetryAt: at.Add(time.Second),
	}
	id := h.commit(store.Batch{LetterAdds: []store.Letter{in}}).Letters[0]
	check := func(want store.Letter) {
		h.Helper()
		got, err := h.s.Letter(ctx, id)
		h.must(err)
		if !bytes.Equal(got.Data, want.Data) || !bytes.Equal(got.Meta, want.Meta) {
			h.Errorf("data = %d bytes, meta = %v", len(got.Data), got.Meta)
		}
		got.Data, got.Meta, want.Data, want.Meta = nil, nil, nil, nil
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			h.Errorf("letter\n%+v, want\n%+v", got, want)
		}
	}
	in.ID, in.Version = id, 1
	check(in)
	h.reopen()
	check(in)
	edited := in
	edited.Data, edited.Type, edited.RetryCount = []byte("corrected"), "order/2", 4
	h.commit(store.Batch{LetterEdits: []store.Letter{edited}})
	edited.Version = 2
	check(edited)
	err := h.refused(store.Batch{LetterEdits: []store.Letter{in}}, store.ErrConflict)
	if data := (*store.ConflictError)(nil); !errors.As(err, &data) || data.Expected != 1 || data.Actual != 2 {
		h.Errorf("the error's data are %+v", data)
	}
	h.refused(store.Batch{LetterDeletes: []store.LetterDelete{{ID: id, Version: 1}}}, store.ErrConflict)
	any := edited
	any.Version = 0
	h.commit(store.Batch{LetterEdits: []store.Letter{any}})
	edited.Version = 3
	check(edited)
	h.commit(store.Batch{LetterDeletes: []store.LetterDelete{{ID: id, Version: 3}}})
	_, err = h.s.Letter(ctx, id)
	h.is(err, store.ErrNoLetter)
	h.refused(store.Batch{LetterDeletes: []store.LetterDelete{{ID: id}}}, store.ErrNoLetter)
	h.refused(store.Batch{LetterEdits: []store.Letter{edited}}, store.ErrNoLetter)
	// The smallest.
	id = h.commit(store.Batch{LetterAdds: []store.Letter{{}}}).Letters[0]
	got, err := h.s.Letter(ctx, id)
	h.must(err)
	if got.Version != 1 || got.CreatedAt.IsZero() || !got.LastRetryAt.IsZero() || len(got.Data) > 0 {
		h.Errorf("letter = %+v", got)
	}
}

func listLetters(h *harness) {
	ctx := h.Context()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var b store.Batch
	for i := range 6 {
		b.LetterAdds = append(b.LetterAdds, store.Letter{
			Queue:        store.Queue(fmt.Sprint("q", i%2)),
			ErrorMessage: fmt.Sprintf("100%% Wrong_%d", i), ErrorType: fmt.Sprint("E", i%3), CreatedAt: at.Add(time.Duration(i) * time.Hour),
			Envelope: store.Envelope{
				Data: []byte{byte('0' + i)}, Type: fmt.Sprint("t", i/3), TargetID: fmt.Sprint("a", i), CallerID: fmt.Sprint("c", i/2),
				RequestID: fmt.Sprint("r", i), TraceID: fmt.Sprint("x", i),
			},
		})
	}
	ids := h.commit(b).Letters
	for _, c := range []struct {
		name string
		f    store.LetterFilter
		want string
	}{
		{"all", store.LetterFilter{}, "012345"},
		{"queue", store.LetterFilter{Queue: "q1"}, "135"},
		{"type", store.LetterFilter{Type: "t1"}, "345"},
		{"target", store.LetterFilter{TargetID: "a4"}, "4"},
		{"caller", store.LetterFilter{CallerID: "c1"}, "23"},
		{"request", store.LetterFilter{RequestID: "r5"}, "5"},
		{"trace", store.LetterFilter{TraceID: "x0"}, "0"},
		{"error type", store.LetterFilter{ErrorType: "E2"}, "25"},
		{"contains", store.LetterFilter{Contains: "wrong_3"}, "3"},
		{"contains what others take for a pattern", store.LetterFilter{Contains: "0% W"}, "012345"},
		{"contains no pattern", store.LetterFilter{Contains: "wrong%"}, ""},
		{"since", store.LetterFilter{Since: at.Add(4 * time.Hour)}, "45"},
		{"before", store.LetterFilter{Before: at.Add(2 * time.Hour)}, "01"},
		{"several", store.LetterFilter{Queue: "q0", Type: "t0", ErrorType: "E0"}, "0"},
		{"none", store.LetterFilter{Queue: "q9"}, ""},
		{"page", store.LetterFilter{After: ids[1], Limit: 2}, "23"},
		{"last page", store.LetterFilter{After: ids[5]}, ""},
	} {
		got, err := h.s.Letters(ctx, c.f)
		h.must(err)
		var text strings.Builder
		for _, l := range got {
			text.Write(l.Data)
		}
		equal(h, c.name, text.String(), c.want)
		if c.f.After == 0 {
			n, err := h.s.CountLetters(ctx, c.f)
			h.must(err)
			equal(h, "count of "+c.name, n, int64(len(c.want)))
		}
	}
	n, err := h.s.CountLetters(ctx, store.LetterFilter{Queue: "q0", After: ids[3], Limit: 1})
	h.must(err)
	equal(h, "count without regard to the page", n, 3)
	_, err = h.s.Letters(ctx, store.LetterFilter{Limit: -1})
	h.is(err, store.ErrInvalid)
}
