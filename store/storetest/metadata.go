package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/troupe-dev/troupe/store"
)

var metadataTests = []test{
	{"set and get", func(h *harness) {
		ctx := h.Context()
		set := func(expected int64, value []byte) store.Batch {
			return store.Batch{Sets: []store.Set{{Key: "k", Expected: expected, Value: value}}}
		}
		_, err := h.s.Entry(ctx, "k")
		h.is(err, store.ErrNoEntry)
		h.refused(set(1, nil), store.ErrConflict)
		equal(h, "version", h.commit(set(store.Absent, []byte("1"))).Versions[0], 1)
		err = h.refused(set(store.Absent, nil), store.ErrConflict)
		if data := (*store.ConflictError)(nil); !errors.As(err, &data) || data.Key != "k" || data.Expected != 0 || data.Actual != 1 {
			h.Errorf("the error's data are %+v", data)
		}
		equal(h, "version", h.commit(set(1, pattern(50_000))).Versions[0], 2)
		equal(h, "version", h.commit(set(store.AnyVersion, nil)).Versions[0], 3)
		h.refused(set(2, nil), store.ErrConflict)
		equal(h, "version", h.commit(set(3, pattern(50_000))).Versions[0], 4)
		h.reopen()
		e, err := h.s.Entry(ctx, "k")
		h.must(err)
		if e.Key != "k" || e.Version != 4 || !bytes.Equal(e.Value, pattern(50_000)) {
			h.Errorf("entry = %q version %d with %d bytes", e.Key, e.Version, len(e.Value))
		}
	}},
	{"delete", func(h *harness) {
		h.commit(store.Batch{Sets: []store.Set{{Key: "k", Value: []byte("v")}}})
		h.refused(store.Batch{Sets: []store.Set{{Key: "k", Expected: 2, Delete: true}}}, store.ErrConflict)
		r := h.commit(store.Batch{Sets: []store.Set{
			{Key: "k", Expected: 1, Delete: true}, {Key: "never", Expected: store.Absent, Delete: true}, {Key: "never", Expected: store.AnyVersion, Delete: true},
		}})
		equal(h, "versions", fmt.Sprint(r.Versions), "[0 0 0]")
		_, err := h.s.Entry(h.Context(), "k")
		h.is(err, store.ErrNoEntry)
		r = h.commit(store.Batch{Sets: []store.Set{{Key: "k"}, {Key: "k", Expected: 1}}})
		equal(h, "versions", fmt.Sprint(r.Versions), "[1 2]")
	}},
	{"list", func(h *harness) {
		for _, k := range []string{"b", "a/2", "a/1", "a%", "a/3", "é"} {
			h.commit(store.Batch{Sets: []store.Set{{Key: k, Value: []byte(k)}}})
		}
		list := func(f store.EntryFilter) string {
			h.Helper()
			all, err := h.s.Entries(h.Context(), f)
			h.must(err)
			var keys []string
			for _, e := range all {
				if e.Key != string(e.Value) || e.Version != 1 {
					h.Errorf("entry = %+v", e)
				}
				keys = append(keys, e.Key)
			}
			return strings.Join(keys, " ")
		}
		equal(h, "all", list(store.EntryFilter{}), "a% a/1 a/2 a/3 b é")
		equal(h, "a/", list(store.EntryFilter{Prefix: "a/"}), "a/1 a/2 a/3")
		equal(h, "é", list(store.EntryFilter{Prefix: "é"}), "é")
		equal(h, "page", list(store.EntryFilter{Prefix: "a/", After: "a/1", Limit: 1}), "a/2")
		_, err := h.s.Entries(h.Context(), store.EntryFilter{Limit: -1})
		h.is(err, store.ErrInvalid)
	}},
}
