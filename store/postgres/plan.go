package postgres

import (
	"fmt"
	"slices"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// A plan is what a group depends on, as it was loaded and locked, and what its
// batches make of it. It does no I/O. Each batch sees what those before it did;
// one that is refused is undone.
type plan struct {
	now    int64 // the server's clock in milliseconds
	limits store.Limits
	shard  int16   // of the writer, in table queue
	ids    []int64 // for puts and letters

	leases   map[store.LeaseName]*leaseRow
	streams  map[store.Stream]*streamRow
	cursors  map[cursorKey]*cursorRow
	entries  map[string]*entryRow
	messages map[store.MessageID]*messageRow
	letters  map[store.LetterID]*letterRow
	requests map[requestKey]*requestRow
	queues   map[store.Queue]*queueRow
	puts     []*newMessage
	changed  bool
	hasty    bool // messages were deleted that batches acknowledge, though these may be refused

	undo []func()
}

// The rows. Those with stored are in the database, those with changed are to be
// written.
type (
	leaseRow struct {
		owner   string
		epoch   store.Epoch
		changed bool
	}
	streamRow struct {
		stored, changed bool
		first, head     store.Position
		storedFirst     store.Position // as they were loaded
		storedHead      store.Position
		trim            store.Position // stored events up to here go
		events          []newEvent     // after the trim
		snapshot        *store.Snapshot
		dropSnapshot    bool
	}
	newEvent struct {
		position store.Position
		*store.Event
	}
	cursorKey struct {
		scope    string
		producer store.Producer
	}
	cursorRow struct {
		seq             uint64 // 0 if there is none
		stored, changed bool
	}
	entryRow struct {
		version         int64 // Absent if there is none
		value           []byte
		stored, changed bool
	}
	messageRow struct {
		queue     store.Queue
		priority  store.Priority
		key       string
		receipt   int64
		attempts  int
		dedup     int64
		requestID string

		gone   bool // deleted when it was loaded
		done   bool
		bury   *store.Bury
		nacked bool
		due    int64
		reason string
	}
	letterRow struct {
		version int64 // 0 if there is none
		content *store.Letter
		added   bool // by this group, not by burying
		written bool // is in the database, or will be when it is edited and deleted
	}
	requestKey struct {
		queue store.Queue
		id    string
	}
	requestRow struct {
		message         store.MessageID
		done, until     int64
		answerType      string
		answer          []byte
		stored, changed bool
	}
	queueRow struct {
		size, delta int64
	}
	newMessage struct {
		id  store.MessageID
		due int64
		*store.Put
	}
)

// keep notes the value of a row before it is changed.
func keep[T any](p *plan, row *T) {
	old := *row
	p.undo = append(p.undo, func() { *row = old })
}

// row returns the row of a key, an empty one if there is none.
func row[K comparable, T any](rows map[K]*T, key K) *T {
	r := rows[key]
	if r == nil {
		r = new(T)
		rows[key] = r
	}
	return r
}

// stage applies a batch to the plan, or nothing of it.
func (p *plan) stage(b *store.Batch) (r store.Result, err error) {
	p.undo = p.undo[:0]
	ids := p.ids
	for _, step := range []func(*store.Batch, *store.Result) error{
		p.fence, p.appends, p.snapshots, p.trims, p.cursorsOf, p.sets,
		p.acks, p.nacks, p.buries, p.letterDeletes, p.letterEdits, p.letterAdds, p.putAll,
	} {
		if err := step(b, &r); err != nil {
			for i := len(p.undo) - 1; i >= 0; i-- {
				p.undo[i]()
			}
			p.ids = ids
			return store.Result{}, err
		}
	}
	if len(p.undo) > 0 {
		p.changed = true
	}
	return r, nil
}

func (p *plan) nextID() int64 {
	id := p.ids[0]
	p.ids = p.ids[1:]
	return id
}

func (p *plan) fence(b *store.Batch, _ *store.Result) error {
	f := b.Fence
	if f == (store.Fence{}) {
		return nil
	}
	l := row(p.leases, f.Lease)
	switch {
	case f.Raise && f.Epoch > l.epoch:
		keep(p, l)
		*l = leaseRow{epoch: f.Epoch, changed: true}
	case f.Epoch != l.epoch, l.owner == "" && !f.Raise:
		return store.StaleEpoch("store.Commit", f.Lease, f.Epoch, l.epoch)
	}
	return nil
}

func (p *plan) appends(b *store.Batch, r *store.Result) error {
	for i := range b.Appends {
		a := &b.Appends[i]
		s := row(p.streams, a.Stream)
		if a.Expected != store.Any && a.Expected != s.head {
			return store.WrongPosition(a.Stream, a.Expected, s.head)
		}
		if len(a.Events) > 0 {
			keep(p, s)
			s.changed = true
			s.first = max(s.first, 1)
			for k := range a.Events {
				s.head++
				s.events = append(s.events, newEvent{s.head, &a.Events[k]})
			}
		}
		r.Heads = append(r.Heads, s.head)
	}
	return nil
}

func (p *plan) snapshots(b *store.Batch, _ *store.Result) error {
	for i := range b.Snapshots {
		n := &b.Snapshots[i]
		s := row(p.streams, n.Stream)
		if n.Position > s.head {
			return store.WrongPosition(n.Stream, n.Position, s.head)
		}
		keep(p, s)
		s.snapshot = n
	}
	return nil
}

func (p *plan) trims(b *store.Batch, _ *store.Result) error {
	for _, t := range b.Trims {
		s := row(p.streams, t.Stream)
		if s.head == store.NoStream {
			continue
		}
		if t.Through == store.Everything {
			keep(p, s)
			*s = streamRow{stored: s.stored, storedFirst: s.storedFirst, storedHead: s.storedHead, changed: true, trim: store.Everything, dropSnapshot: true}
			continue
		}
		if t.Through > s.head {
			return store.WrongPosition(t.Stream, t.Through, s.head)
		}
		keep(p, s)
		s.changed = true
		s.first = max(s.first, t.Through+1)
		s.trim = max(s.trim, t.Through)
		for len(s.events) > 0 && s.events[0].position <= t.Through {
			s.events = s.events[1:]
		}
	}
	return nil
}

func (p *plan) cursorsOf(b *store.Batch, _ *store.Result) error {
	for i := range b.Cursors {
		c := &b.Cursors[i]
		r := row(p.cursors, cursorKey{c.Scope, c.Producer})
		if !c.Forget && c.Seq <= r.seq {
			return store.DuplicateCursor(*c, r.seq)
		}
		keep(p, r)
		r.seq, r.changed = c.Seq, true
		if c.Forget {
			r.seq = 0
		}
	}
	return nil
}

func (p *plan) sets(b *store.Batch, result *store.Result) error {
	for i := range b.Sets {
		set := &b.Sets[i]
		r := row(p.entries, set.Key)
		if set.Expected != store.AnyVersion && set.Expected != r.version {
			return store.EntryConflict(set.Key, set.Expected, r.version)
		}
		keep(p, r)
		r.changed = true
		if set.Delete {
			r.version, r.value = store.Absent, nil
		} else {
			r.version, r.value = r.version+1, set.Value
		}
		result.Versions = append(result.Versions, r.version)
	}
	return nil
}

// held returns the message of a receipt that is still good.
func (p *plan) held(r store.Receipt) (*messageRow, error) {
	m := p.messages[r.ID]
	if m == nil || m.receipt != r.Grant || m.done || m.nacked {
		return nil, store.ReceiptLost("store.Commit", r)
	}
	keep(p, m)
	return m, nil
}

// end ends a message and remembers the answer if it is to be.
func (p *plan) end(id store.MessageID, m *messageRow, answerType string, answer []byte) {
	m.done = true
	q := row(p.queues, m.queue)
	keep(p, q)
	q.delta--
	if m.dedup > 0 {
		r := row(p.requests, requestKey{m.queue, m.requestID})
		keep(p, r)
		*r = requestRow{
			message: id, done: p.now, until: p.now + m.dedup, answerType: answerType, answer: answer,
			stored: true, changed: true, // put together with the message
		}
	}
}

func (p *plan) acks(b *store.Batch, _ *store.Result) error {
	for i := range b.Acks {
		a := &b.Acks[i]
		m, err := p.held(a.Receipt)
		if err != nil {
			return err
		}
		p.end(a.Receipt.ID, m, a.AnswerType, a.Answer)
	}
	return nil
}

func (p *plan) nacks(b *store.Batch, _ *store.Result) error {
	for i := range b.Nacks {
		n := &b.Nacks[i]
		m, err := p.held(n.Receipt)
		if err != nil {
			return err
		}
		m.nacked = true
		m.reason = store.CleanText(n.Reason, store.ReasonBytes)
		m.due = p.after(n.Delay)
		if n.Uncounted {
			m.attempts = max(0, m.attempts-1)
		}
	}
	return nil
}

// after returns the time that a delay leads to, or 0 without one.
func (p *plan) after(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return p.now + ceilMilli(d)
}

// ceilMilli returns a duration in milliseconds, at least 1.
func ceilMilli(d time.Duration) int64 {
	return max(1, int64((d+time.Millisecond-1)/time.Millisecond))
}

func (p *plan) buries(b *store.Batch, _ *store.Result) error {
	for i := range b.Buries {
		y := &b.Buries[i]
		m, err := p.held(y.Receipt)
		if err != nil {
			return err
		}
		m.bury = y
		p.end(y.Receipt.ID, m, "", nil)
		l := row(p.letters, store.LetterID(y.Receipt.ID))
		keep(p, l)
		*l = letterRow{version: 1, written: true}
	}
	return nil
}

// letter returns a letter that is there and has the expected version.
func (p *plan) letter(id store.LetterID, expected int64) (*letterRow, error) {
	l := p.letters[id]
	switch {
	case l == nil || l.version == 0:
		return nil, store.Failure(store.ErrNoLetter, "store.Commit", fmt.Sprintf("letter %d", id), nil)
	case expected != 0 && expected != l.version:
		return nil, store.LetterConflict(id, expected, l.version)
	}
	keep(p, l)
	return l, nil
}

func (p *plan) letterDeletes(b *store.Batch, _ *store.Result) error {
	for _, d := range b.LetterDeletes {
		l, err := p.letter(d.ID, d.Version)
		if err != nil {
			return err
		}
		l.version, l.content = 0, nil
	}
	return nil
}

func (p *plan) letterEdits(b *store.Batch, _ *store.Result) error {
	for i := range b.LetterEdits {
		edit := &b.LetterEdits[i]
		l, err := p.letter(edit.ID, edit.Version)
		if err != nil {
			return err
		}
		l.version++
		l.content = edit
	}
	return nil
}

func (p *plan) letterAdds(b *store.Batch, r *store.Result) error {
	for i := range b.LetterAdds {
		id := store.LetterID(p.nextID())
		l := row(p.letters, id)
		keep(p, l)
		*l = letterRow{version: 1, content: &b.LetterAdds[i], added: true}
		r.Letters = append(r.Letters, id)
	}
	return nil
}

func (p *plan) putAll(b *store.Batch, r *store.Result) error {
	for i := range b.Puts {
		result, err := p.put(&b.Puts[i])
		if err != nil {
			return err
		}
		r.Puts = append(r.Puts, result)
	}
	return nil
}

func (p *plan) put(put *store.Put) (store.PutResult, error) {
	var request *requestRow
	if put.Dedup > 0 {
		request = row(p.requests, requestKey{put.Queue, put.RequestID})
		if request.known(p.now) {
			return store.PutResult{ID: request.message, Duplicate: true, Answer: request.public()}, nil
		}
	}
	q := row(p.queues, put.Queue)
	if n := q.size + q.delta; n >= p.limits.QueueMessages {
		return store.PutResult{}, store.Failure(store.ErrQueueFull, "store.Commit", "queue "+string(put.Queue),
			fmt.Errorf("it holds %d messages", n))
	}
	m := &newMessage{store.MessageID(p.nextID()), p.after(put.Delay), put}
	keep(p, q)
	q.delta++
	keep(p, &p.puts)
	p.puts = append(p.puts, m)
	if request != nil {
		keep(p, request)
		*request = requestRow{message: m.id, stored: request.stored, changed: true}
	}
	return store.PutResult{ID: m.id}, nil
}

// known reports whether a request is remembered.
func (r *requestRow) known(now int64) bool {
	return r.message != 0 && (r.done == 0 || r.until > now)
}

func (r *requestRow) public() store.Answer {
	return store.Answer{Done: r.done != 0, Time: timeOf(r.done), Type: r.answerType, Data: slices.Clone(r.answer)}
}
