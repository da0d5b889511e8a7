package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/store/sqlite"
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func commit(tb testing.TB, s store.Store, b store.Batch) store.Result {
	tb.Helper()
	r, err := s.Commit(context.Background(), &b)
	must(tb, err)
	return r
}

// bytesOf is n bytes that are different everywhere.
func bytesOf(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
	return b
}

// century is how long fill has requests remembered, because files that it made are
// in testdata.
const century = 100 * 365 * 24 * time.Hour

// options are good for fill.
func options(journalBytes int) sqlite.Options {
	return sqlite.Options{JournalBytes: journalBytes, Limits: store.Limits{DedupMax: century}}
}

// fill puts something into every table.
func fill(tb testing.TB, s store.Store) {
	tb.Helper()
	at := time.Date(2026, 4, 5, 6, 7, 8, 0, time.UTC)
	for i := range 20 {
		name := store.Stream(fmt.Sprintf("account/%d", i))
		a := store.Append{Stream: name}
		for k := range 30 {
			a.Events = append(a.Events, store.Event{Type: "deposited", Time: at, Meta: []byte("meta"), Data: bytesOf(100, i+k)})
		}
		a.Events = append(a.Events, store.Event{Type: "large", Time: at, Data: bytesOf(9000, i)})
		commit(tb, s, store.Batch{
			Appends:   []store.Append{a},
			Snapshots: []store.Snapshot{{Stream: name, Position: 10, Time: at, Type: "state", Data: bytesOf(100+6000*(i%2), i)}},
			Cursors:   []store.Cursor{{Scope: "accounts", Producer: store.Producer(name), Seq: uint64(i + 1)}},
			Sets:      []store.Set{{Key: string(name), Value: bytesOf(50, i)}},
			LetterAdds: []store.Letter{{
				Queue: "mail", CreatedAt: at, ErrorMessage: "why", Envelope: store.Envelope{Type: "t", Meta: []byte("m"), Data: bytesOf(200, i)},
			}},
			Puts: []store.Put{
				{Queue: "mail", Key: string(name), Envelope: store.Envelope{Type: "t", RequestID: "r", Data: bytesOf(150, i)}},
				{Queue: "mail", Priority: store.High, Dedup: century, Envelope: store.Envelope{RequestID: string(name), Data: bytesOf(5000, i)}},
				{Queue: "asked", Dedup: century, Envelope: store.Envelope{RequestID: string(name)}},
			},
		})
		if _, err := s.Acquire(context.Background(), store.LeaseName(name), "owner", 24*time.Hour); err != nil {
			tb.Fatal(err)
		}
	}
	got, err := s.Receive(context.Background(), store.ReceiveRequest{Queue: "asked", Max: 10})
	must(tb, err)
	var b store.Batch
	for i, m := range got {
		b.Acks = append(b.Acks, store.Ack{Receipt: m.Receipt, AnswerType: "reply", Answer: bytesOf(60, i)})
	}
	commit(tb, s, b)
	commit(tb, s, store.Batch{Trims: []store.Trim{{Stream: "account/3", Through: 5}, {Stream: "account/4", Through: store.Everything}}})
}

// dump describes what fill has made, through the interface. It returns what it
// could read, and the first error.
func dump(s store.Store) (string, error) {
	ctx := context.Background()
	var b strings.Builder
	var failed error
	note := func(err error, known ...error) bool {
		for _, k := range known {
			if errors.Is(err, k) {
				return false
			}
		}
		if err != nil && failed == nil {
			failed = err
		}
		return err == nil
	}
	for i := range 20 {
		name := fmt.Sprintf("account/%d", i)
		for e, err := range s.Read(ctx, store.Stream(name), 0) {
			if note(err, store.ErrUnknownStream) {
				fmt.Fprintf(&b, "%s %d %v %s %x %x\n", e.Stream, e.Position, e.Time, e.Type, e.Meta, e.Data)
			}
		}
		if n, err := s.Snapshot(ctx, store.Stream(name)); note(err, store.ErrNoSnapshot) {
			fmt.Fprintf(&b, "%x\n", n)
		}
		if e, err := s.Entry(ctx, name); note(err) {
			fmt.Fprintf(&b, "%x\n", e)
		}
		if l, err := s.Holder(ctx, store.LeaseName(name)); note(err) {
			fmt.Fprintln(&b, l.Owner, l.Epoch)
		}
		for _, q := range []store.Queue{"mail", "asked"} {
			if a, err := s.Answer(ctx, q, name); note(err) {
				fmt.Fprintf(&b, "%v %s %x\n", a.Done, a.Type, a.Data)
			}
		}
	}
	if all, err := s.Streams(ctx, store.StreamFilter{}); note(err) {
		fmt.Fprintln(&b, all)
	}
	if c, err := s.Cursors(ctx, "accounts"); note(err) {
		fmt.Fprintln(&b, c)
	}
	for _, q := range []store.Queue{"mail", "asked"} {
		all, err := s.Messages(ctx, store.MessageFilter{Queue: q})
		note(err)
		for _, m := range all {
			if strings.HasPrefix(m.LastError, "damaged: ") {
				note(store.ErrDamaged)
			}
			fmt.Fprintf(&b, "%v %s %v %s %d %s %x\n", m.ID, m.Queue, m.Priority, m.Key, m.Attempts, m.LastError, m.Envelope)
		}
	}
	letters, err := s.Letters(ctx, store.LetterFilter{})
	note(err)
	for _, l := range letters {
		if strings.HasPrefix(l.ErrorMessage, "damaged: ") {
			note(store.ErrDamaged)
		}
		fmt.Fprintf(&b, "%v %x %x\n", l.ID, l.Meta, l.Data)
	}
	return b.String(), failed
}
