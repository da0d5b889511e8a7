package store

// A Batch is a set of changes that happen together or not at all. The zero value
// changes nothing. Its changes are applied in the order of the fields: later
// ones see earlier ones.
type Batch struct {
	Fence Fence

	Appends   []Append
	Snapshots []Snapshot
	Trims     []Trim
	Cursors   []Cursor
	Sets      []Set

	Acks   []Ack
	Nacks  []Nack
	Buries []Bury

	LetterDeletes []LetterDelete
	LetterEdits   []Letter // by ID; Version is the expected one, 0 for any
	LetterAdds    []Letter

	Puts []Put
}

// An Append adds events to the end of a stream, which must be at the expected
// position: [NoStream], [Any], or that of its last event. Otherwise the batch
// fails with [ErrWrongPosition] and a [*PositionError] that has the actual one.
// Without events it only checks.
type Append struct {
	Stream   Stream
	Expected Position
	Events   []Event // Stream and Position of each are set by the store
}

// A Trim removes the events of a stream up to and including a position, which a
// snapshot has made superfluous. The head stays what it is. Through is at most
// the head, or [Everything], which removes stream, head and snapshot. An unknown
// stream is nothing to trim.
type Trim struct {
	Stream  Stream
	Through Position
}

// A Cursor says up to which number messages of a producer have been taken in by
// a scope, by convention the name of the receiver's stream or queue. When the
// number is not above the one that is stored the batch fails with
// [ErrDuplicate] and a [*DuplicateError] that has the stored one: what the batch
// does was done before. Forget removes the cursor instead.
type Cursor struct {
	Scope    string
	Producer Producer
	Seq      uint64 // at most 1<<63 - 1
	Forget   bool
}

// A Result tells what a batch did.
type Result struct {
	Heads    []Position  // for each of Appends the head of its stream afterwards
	Puts     []PutResult // for each of Puts
	Versions []int64     // for each of Sets the version afterwards; 0 if deleted
	Letters  []LetterID  // for each of LetterAdds
}

// Empty reports whether b changes nothing and checks nothing.
func (b *Batch) Empty() bool {
	return b.Fence == Fence{} && b.Items() == 0
}

// Items counts the changes of b; an event counts as one, and so does an append
// without events.
func (b *Batch) Items() int {
	n := len(b.Snapshots) + len(b.Trims) + len(b.Cursors) + len(b.Sets) +
		len(b.Acks) + len(b.Nacks) + len(b.Buries) +
		len(b.LetterDeletes) + len(b.LetterEdits) + len(b.LetterAdds) + len(b.Puts)
	for i := range b.Appends {
		n += max(1, len(b.Appends[i].Events))
	}
	return n
}

// Bytes counts the bytes of all payloads, metas, values and answers in b.
func (b *Batch) Bytes() int {
	n := 0
	for i := range b.Appends {
		for k := range b.Appends[i].Events {
			n += len(b.Appends[i].Events[k].Data) + len(b.Appends[i].Events[k].Meta)
		}
	}
	for i := range b.Snapshots {
		n += len(b.Snapshots[i].Data)
	}
	for i := range b.Sets {
		n += len(b.Sets[i].Value)
	}
	for i := range b.Acks {
		n += len(b.Acks[i].Answer)
	}
	for i := range b.Puts {
		n += len(b.Puts[i].Data) + len(b.Puts[i].Meta)
	}
	for _, letters := range [][]Letter{b.LetterEdits, b.LetterAdds} {
		for i := range letters {
			n += len(letters[i].Data) + len(letters[i].Meta)
		}
	}
	return n
}
