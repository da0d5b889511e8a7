package durable

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// Letters are the dead letters of a store: messages that did not decode, or that
// failed again and again. It may be used from any goroutine.
type Letters struct {
	store store.Store
	types *wire.Registry
}

// NewLetters returns the dead letters of a store. Types, which may be nil, shows
// the payloads of the types it knows as JSON and lets them be edited as such.
func NewLetters(s store.Store, types *wire.Registry) *Letters {
	if types == nil {
		types = &wire.Registry{}
	}
	return &Letters{s, types}
}

// List returns letters in the order of their ids, the oldest first: a page of at
// most f.Limit, after f.After.
func (l *Letters) List(ctx context.Context, f store.LetterFilter) ([]store.Letter, error) {
	return l.store.Letters(ctx, f)
}

// All yields all letters that a filter lets through, in pages of f.Limit. An error
// is the last thing it yields.
func (l *Letters) All(ctx context.Context, f store.LetterFilter) iter.Seq2[store.Letter, error] {
	return func(yield func(store.Letter, error) bool) {
		if f.Limit == 0 {
			f.Limit = letterPage
		}
		for {
			page, err := l.store.Letters(ctx, f)
			if err != nil {
				yield(store.Letter{}, err)
				return
			}
			for _, letter := range page {
				if !yield(letter, nil) {
					return
				}
				f.After = letter.ID
			}
			if len(page) < f.Limit {
				return
			}
		}
	}
}

// letterPage is how many letters are read at a time.
const letterPage = 500

// Count counts the letters that a filter lets through.
func (l *Letters) Count(ctx context.Context, f store.LetterFilter) (int64, error) {
	return l.store.CountLetters(ctx, f)
}

// Inspection is a letter with what can be said about it.
type Inspection struct {
	store.Letter

	Codec    string // of the payload
	Subject  string // what it is about, see [Post.Subject]
	Redrives int    // how often it was brought back before
	Origin   Origin // the number its producer gave it, if any

	// JSON is the payload for people, nil if it can't be shown.
	JSON []byte
	// Problem is why: the type is not registered, or the payload does not decode.
	Problem error
}

// Inspect returns a letter with its payload decoded. Errors: [store.ErrNoLetter].
func (l *Letters) Inspect(ctx context.Context, id store.LetterID) (Inspection, error) {
	letter, err := l.store.Letter(ctx, id)
	if err != nil {
		return Inspection{}, err
	}
	in := Inspection{Letter: letter}
	m, err := parseMeta(letter.Meta)
	if err != nil {
		in.Problem = &wire.PoisonError{Message: wire.Message{Type: letter.Type, Data: letter.Data}, Cause: err}
		return in, nil //nolint:nilerr // a letter that can't be read is what the caller wants to see
	}
	in.Codec, in.Subject, in.Redrives, in.Origin = m.codec, m.subject, m.redrives, m.origin
	in.JSON, in.Problem = l.types.JSON(wire.Message{Type: letter.Type, Codec: m.codec, Data: letter.Data})
	return in, nil
}

// Add makes a dead letter of what never was in a mailbox, such as a request that
// came over a network and does not decode: the letter, the name of its payload's
// codec, and what it is about ([Post.Subject]). Without a Queue it can't be
// redriven before one is set. Errors: those of bad input and of the store.
func (l *Letters) Add(ctx context.Context, letter store.Letter, codec, subject string) (store.LetterID, error) {
	letter.Meta = meta{codec: codec, subject: subject}.encode()
	r, err := l.store.Commit(ctx, &store.Batch{LetterAdds: []store.Letter{letter}})
	if err != nil {
		return 0, err
	}
	return r.Letters[0], nil
}

// JSON shows the payload of a message, such as one that a [Rehearsal] would send.
// The error is that of [wire.Registry.JSON], or of a message of another making.
func (l *Letters) JSON(e *store.Envelope) ([]byte, error) {
	m, err := parseMeta(e.Meta)
	if err != nil {
		return nil, &wire.PoisonError{Message: wire.Message{Type: e.Type, Data: e.Data}, Cause: err}
	}
	return l.types.JSON(wire.Message{Type: e.Type, Codec: m.codec, Data: e.Data})
}

// Edit changes a letter: change gets a copy and may set its payload, type, queue
// and the rest but for its id. Errors: what change returns; [store.ErrNoLetter];
// [ErrChanged] if somebody else changed it meanwhile; those of bad input.
func (l *Letters) Edit(ctx context.Context, id store.LetterID, change func(*store.Letter) error) (store.Letter, error) {
	letter, err := l.store.Letter(ctx, id)
	if err != nil {
		return letter, err
	}
	version := letter.Version
	if err := change(&letter); err != nil {
		return letter, err
	}
	letter.ID, letter.Version = id, version
	if _, err := l.store.Commit(ctx, &store.Batch{LetterEdits: []store.Letter{letter}}); err != nil {
		return letter, err
	}
	letter.Version++
	return letter, nil
}

// EditJSON replaces the payload of a letter by one of the same type, or of the
// type given, written as JSON. The error, INVALID_ARGUMENT, says which field is
// unknown or wrong; the others are those of [Letters.Edit].
func (l *Letters) EditJSON(ctx context.Context, id store.LetterID, typeName string, text []byte) (store.Letter, error) {
	return l.Edit(ctx, id, func(letter *store.Letter) error { return l.SetJSON(letter, typeName, text) })
}

// SetJSON gives a letter another payload, as [Letters.EditJSON] does, without
// writing it to the store: it is for the function that is given to [Letters.Edit].
func (l *Letters) SetJSON(letter *store.Letter, typeName string, text []byte) error {
	if typeName == "" {
		typeName = letter.Type
	}
	m, err := l.types.FromJSON(typeName, text)
	if err != nil {
		return err
	}
	about, err := parseMeta(letter.Meta)
	if err != nil {
		about = meta{} // what came with it does not decode either
	}
	about.codec = m.Codec
	letter.Type, letter.Data, letter.Meta = m.Type, m.Data, about.encode()
	return nil
}

// Delete removes letters for good, all or none. Errors: [store.ErrNoLetter] if one
// of them is not there.
func (l *Letters) Delete(ctx context.Context, ids ...store.LetterID) error {
	b := &store.Batch{}
	for _, id := range ids {
		b.LetterDeletes = append(b.LetterDeletes, store.LetterDelete{ID: id})
	}
	if b.Empty() {
		return nil
	}
	_, err := l.store.Commit(ctx, b)
	return err
}

// DeleteWhere removes all letters that a filter lets through, page by page, and
// returns how many. With dryRun it only counts them. A letter that somebody else
// removes or changes meanwhile is passed over.
func (l *Letters) DeleteWhere(ctx context.Context, f store.LetterFilter, dryRun bool) (int, error) {
	if dryRun {
		n, err := l.store.CountLetters(ctx, f)
		return int(n), err
	}
	deleted := 0
	for letter, err := range l.All(ctx, f) {
		if err != nil {
			return deleted, err
		}
		_, err := l.store.Commit(ctx, &store.Batch{LetterDeletes: []store.LetterDelete{{ID: letter.ID, Version: letter.Version}}})
		switch {
		case err == nil:
			deleted++
		case !gone(err):
			return deleted, err
		}
	}
	return deleted, nil
}

// gone reports whether somebody else has dealt with a letter.
func gone(err error) bool {
	return errors.Is(err, store.ErrNoLetter) || errors.Is(err, ErrChanged)
}

// redrivePut is the put that brings a letter back. It counts, and has no origin:
// its producer's later messages have been taken in, and its number would make it
// one that was seen.
func redrivePut(letter *store.Letter) (store.Put, error) {
	put := letter.Put()
	if put.Queue == "" {
		return put, &fault.Error{
			Code: fault.FailedPrecondition, Op: "durable.Redrive", Target: fmt.Sprintf("letter %d", letter.ID),
			Message: "it has no queue to go back to", Hint: "edit the letter and set its queue",
		}
	}
	m, err := parseMeta(letter.Meta)
	if err != nil {
		return put, nil //nolint:nilerr // it is for its handler to say that it does not decode
	}
	m.origin, m.live = Origin{}, ""
	m.redrives++
	put.Meta = m.encode()
	return put, nil
}
