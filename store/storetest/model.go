package storetest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/troupe-dev/troupe/store"
)

// A model is what a store should be, with nothing clever in it. Time stands still
// in it: what is held or delayed stays so until the store is opened again.
type model struct {
	streams  map[store.Stream]modelStream
	cursors  map[string]map[store.Producer]uint64
	entries  map[string]store.Entry
	messages map[store.MessageID]modelMessage
	requests map[string]modelRequest // queue + "/" + id
	letters  map[store.LetterID]store.Letter
	leases   map[store.LeaseName]store.Lease
}

type modelStream struct {
	first    store.Position
	events   []string // from position 1 on
	snapshot store.Snapshot
}

type modelMessage struct {
	put       store.Put
	attempts  int
	receipt   store.Receipt // while it is held
	delayed   bool
	lastError string
}

type modelRequest struct {
	id     store.MessageID
	done   bool
	answer string
}

func newModel() *model {
	return &model{
		streams: map[store.Stream]modelStream{}, cursors: map[string]map[store.Producer]uint64{}, entries: map[string]store.Entry{},
		messages: map[store.MessageID]modelMessage{}, requests: map[string]modelRequest{}, letters: map[store.LetterID]store.Letter{},
		leases: map[store.LeaseName]store.Lease{},
	}
}

func (m *model) clone() *model {
	c := &model{
		streams: maps.Clone(m.streams), cursors: map[string]map[store.Producer]uint64{}, entries: maps.Clone(m.entries),
		messages: maps.Clone(m.messages), requests: maps.Clone(m.requests), letters: maps.Clone(m.letters), leases: maps.Clone(m.leases),
	}
	for scope, seqs := range m.cursors {
		c.cursors[scope] = maps.Clone(seqs)
	}
	return c
}

// apply returns the model after a batch, or the error that the batch must give.
// The numbers that the store gave are taken from its result, which is nil when
// the store refused the batch.
func (m *model) apply(b *store.Batch, got *store.Result) (*model, error) {
	next := m.clone()
	for _, step := range []func(*store.Batch, *store.Result) error{
		next.fence, next.appends, next.trimsAndSnapshots, next.cursorsAndSets, next.receipts, next.lettersOf, next.puts,
	} {
		if err := step(b, got); err != nil {
			return m, err
		}
	}
	return next, nil
}

func (m *model) fence(b *store.Batch, _ *store.Result) error {
	if b.Fence == (store.Fence{}) {
		return nil
	}
	if l := m.leases[b.Fence.Lease]; l.Owner == "" || l.Epoch != b.Fence.Epoch {
		return store.ErrStaleEpoch
	}
	return nil
}

func (m *model) appends(b *store.Batch, got *store.Result) error {
	for i, a := range b.Appends {
		s := m.streams[a.Stream]
		head := store.Position(len(s.events))
		if a.Expected != store.Any && a.Expected != head {
			return store.ErrWrongPosition
		}
		if s.first == 0 {
			s.first = 1
		}
		s.events = slices.Clone(s.events)
		for _, e := range a.Events {
			s.events = append(s.events, string(e.Data))
		}
		if len(s.events) > 0 {
			m.streams[a.Stream] = s
		}
		if got != nil && got.Heads[i] != store.Position(len(s.events)) {
			return fmt.Errorf("head of %s = %d, want %d", a.Stream, got.Heads[i], len(s.events))
		}
	}
	return nil
}

func (m *model) trimsAndSnapshots(b *store.Batch, _ *store.Result) error {
	for _, n := range b.Snapshots {
		s := m.streams[n.Stream]
		if n.Position > store.Position(len(s.events)) {
			return store.ErrWrongPosition
		}
		s.snapshot = n
		m.streams[n.Stream] = s
	}
	for _, t := range b.Trims {
		s, known := m.streams[t.Stream]
		switch {
		case !known:
		case t.Through == store.Everything:
			delete(m.streams, t.Stream)
		case t.Through > store.Position(len(s.events)):
			return store.ErrWrongPosition
		default:
			s.first = max(s.first, t.Through+1)
			m.streams[t.Stream] = s
		}
	}
	return nil
}

func (m *model) cursorsAndSets(b *store.Batch, got *store.Result) error {
	for _, c := range b.Cursors {
		if m.cursors[c.Scope] == nil {
			m.cursors[c.Scope] = map[store.Producer]uint64{}
		}
		switch {
		case c.Forget:
			delete(m.cursors[c.Scope], c.Producer)
		case c.Seq <= m.cursors[c.Scope][c.Producer]:
			return store.ErrDuplicate
		default:
			m.cursors[c.Scope][c.Producer] = c.Seq
		}
	}
	for i, s := range b.Sets {
		e := m.entries[s.Key]
		if s.Expected != store.AnyVersion && s.Expected != e.Version {
			return store.ErrConflict
		}
		e = store.Entry{Key: s.Key, Value: s.Value, Version: e.Version + 1}
		if s.Delete {
			e = store.Entry{}
			delete(m.entries, s.Key)
		} else {
			m.entries[s.Key] = e
		}
		if got != nil && got.Versions[i] != e.Version {
			return fmt.Errorf("version of %s = %d, want %d", s.Key, got.Versions[i], e.Version)
		}
	}
	return nil
}

// held returns a message that a receipt is good for.
func (m *model) held(r store.Receipt) (modelMessage, error) {
	msg, found := m.messages[r.ID]
	if !found || msg.receipt != r {
		return msg, store.ErrReceiptLost
	}
	return msg, nil
}

func (m *model) finish(id store.MessageID, answer string) {
	p := m.messages[id].put
	delete(m.messages, id)
	if p.Dedup > 0 {
		m.requests[string(p.Queue)+"/"+p.RequestID] = modelRequest{id, true, answer}
	}
}

func (m *model) receipts(b *store.Batch, _ *store.Result) error {
	for _, a := range b.Acks {
		if _, err := m.held(a.Receipt); err != nil {
			return err
		}
		m.finish(a.Receipt.ID, string(a.Answer))
	}
	for _, n := range b.Nacks {
		msg, err := m.held(n.Receipt)
		if err != nil {
			return err
		}
		msg.receipt, msg.delayed, msg.lastError = store.Receipt{}, n.Delay > 0, n.Reason
		if n.Uncounted {
			msg.attempts--
		}
		m.messages[n.Receipt.ID] = msg
	}
	for _, y := range b.Buries {
		msg, err := m.held(y.Receipt)
		if err != nil {
			return err
		}
		m.letters[store.LetterID(y.Receipt.ID)] = store.Letter{
			Version: 1, Queue: msg.put.Queue, Envelope: msg.put.Envelope, ErrorMessage: y.Reason, RetryCount: max(0, msg.attempts-1),
		}
		m.finish(y.Receipt.ID, "")
	}
	return nil
}

func (m *model) lettersOf(b *store.Batch, got *store.Result) error {
	check := func(id store.LetterID, version int64) error {
		l, found := m.letters[id]
		switch {
		case !found:
			return store.ErrNoLetter
		case version != 0 && version != l.Version:
			return store.ErrConflict
		}
		return nil
	}
	for _, d := range b.LetterDeletes {
		if err := check(d.ID, d.Version); err != nil {
			return err
		}
		delete(m.letters, d.ID)
	}
	for _, l := range b.LetterEdits {
		if err := check(l.ID, l.Version); err != nil {
			return err
		}
		l.Version = m.letters[l.ID].Version + 1
		m.letters[l.ID] = l
	}
	for i, l := range b.LetterAdds {
		if got != nil {
			l.Version = 1
			m.letters[got.Letters[i]] = l
		}
	}
	return nil
}

func (m *model) puts(b *store.Batch, got *store.Result) error {
	for i, p := range b.Puts {
		key := string(p.Queue) + "/" + p.RequestID
		known, found := m.requests[key]
		duplicate := p.Dedup > 0 && found
		if got != nil {
			r := got.Puts[i]
			if r.Duplicate != duplicate || duplicate && (r.ID != known.id || r.Answer.Done != known.done || string(r.Answer.Data) != known.answer) {
				return fmt.Errorf("put of %s = %+v, want duplicate %v of %+v", key, r, duplicate, known)
			}
			if !duplicate {
				m.messages[r.ID] = modelMessage{put: p, delayed: p.Delay > 0}
			}
			if p.Dedup > 0 && !found {
				m.requests[key] = modelRequest{id: r.ID}
			}
		}
	}
	return nil
}

// receive returns the ids that a call must receive.
func (m *model) receive(r store.ReceiveRequest) []store.MessageID {
	type lane struct {
		key      string
		priority store.Priority
	}
	blocked := map[lane]bool{}
	var normal, high []store.MessageID
	for _, id := range slices.Sorted(maps.Keys(m.messages)) {
		msg := m.messages[id]
		if msg.put.Queue != r.Queue {
			continue
		}
		l := lane{msg.put.Key, msg.put.Priority}
		switch {
		case msg.delayed || msg.receipt != store.Receipt{}:
			blocked[l] = true
		case r.Ordered && l.key != "" && blocked[l]:
		case l.priority == store.High:
			high = append(high, id)
		default:
			normal = append(normal, id)
		}
	}
	high = append(high, normal...)
	return high[:min(len(high), r.Max)]
}

// received notes what was received.
func (m *model) received(all []store.Message) {
	for _, got := range all {
		msg := m.messages[got.ID]
		msg.receipt = got.Receipt
		msg.attempts++
		m.messages[got.ID] = msg
	}
}

// pick returns one of the keys of a map, or the zero value.
func pick[K cmp.Ordered, V any](rnd func(int) int, all map[K]V) K {
	var none K
	if len(all) == 0 {
		return none
	}
	return slices.Sorted(maps.Keys(all))[rnd(len(all))]
}
