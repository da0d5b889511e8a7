package durable_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// memory is a store in memory for tests in virtual time: simple, and with faults
// on demand. It has what package durable uses.
type memory struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each change
	closed  bool

	next    int64
	queues  map[store.Queue][]*memoryMessage // by id
	dedup   map[string]*memoryAnswer         // queue and request
	streams map[store.Stream][]store.Event
	snaps   map[store.Stream]store.Snapshot
	cursors map[string]map[store.Producer]uint64
	letters map[store.LetterID]store.Letter
	leases  map[store.LeaseName]store.Lease

	commits int

	// beforeCommit may fail a commit, which is then not applied; afterCommit may
	// return an error after it was; beforeReceive may fail a receive. They are
	// called with the lock held.
	beforeCommit  func(b *store.Batch) error
	afterCommit   func(b *store.Batch) error
	beforeReceive func() error
}

type memoryMessage struct {
	store.Message
	dedup time.Duration
	held  bool
}

type memoryAnswer struct {
	id     store.MessageID
	answer store.Answer
	until  time.Time
}

func newMemory() *memory {
	return &memory{
		changed: make(chan struct{}), queues: map[store.Queue][]*memoryMessage{}, dedup: map[string]*memoryAnswer{},
		streams: map[store.Stream][]store.Event{}, snaps: map[store.Stream]store.Snapshot{},
		cursors: map[string]map[store.Producer]uint64{}, letters: map[store.LetterID]store.Letter{},
		leases: map[store.LeaseName]store.Lease{},
	}
}

// crash forgets what a process that dies takes along: nothing that was committed.
// Messages that were held come back at once, instead of when their time is over.
func (s *memory) crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		for _, m := range q {
			if m.held {
				m.held, m.Until, m.Owner = false, time.Time{}, ""
			}
		}
	}
	s.notify()
}

func (s *memory) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *memory) find(r store.Receipt) (*memoryMessage, error) {
	for _, q := range s.queues {
		for _, m := range q {
			if m.Receipt == r {
				return m, nil
			}
		}
	}
	return nil, store.ReceiptLost("store.Commit", r)
}

func (s *memory) remove(m *memoryMessage) {
	s.queues[m.Queue] = slices.DeleteFunc(s.queues[m.Queue], func(o *memoryMessage) bool { return o == m })
}

func (s *memory) Commit(ctx context.Context, b *store.Batch) (store.Result, error) {
	var none store.Result
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if err := b.Validate(store.Limits{}); err != nil {
		return none, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return none, store.ErrClosed
	}
	if s.beforeCommit != nil {
		if err := s.beforeCommit(b); err != nil {
			return none, err
		}
	}
	if err := s.check(b); err != nil {
		return none, err
	}
	s.commits++
	r := s.apply(b)
	s.notify()
	if s.afterCommit != nil {
		if err := s.afterCommit(b); err != nil {
			return none, err
		}
	}
	return r, nil
}

// Submit implements store.Submitter.
func (s *memory) Submit(b *store.Batch) (wait func() (store.Result, error)) {
	r, err := s.Commit(context.Background(), b)
	return func() (store.Result, error) { return r, err }
}

// check finds what forbids a batch, without a change.
func (s *memory) check(b *store.Batch) error {
	if f := b.Fence; f.Lease != "" {
		if have := s.leases[f.Lease].Epoch; have != f.Epoch && (!f.Raise || have > f.Epoch) {
			return store.StaleEpoch("store.Commit", f.Lease, f.Epoch, have)
		}
	}
	for _, a := range b.Appends {
		if head := store.Position(len(s.streams[a.Stream])); a.Expected != store.Any && a.Expected != head {
			return store.WrongPosition(a.Stream, a.Expected, head)
		}
	}
	seen := map[string]uint64{}
	for _, c := range b.Cursors {
		key := c.Scope + "\x00" + string(c.Producer)
		have := max(s.cursors[c.Scope][c.Producer], seen[key])
		if !c.Forget && c.Seq <= have {
			return store.DuplicateCursor(c, have)
		}
		seen[key] = c.Seq
	}
	var receipts []store.Receipt
	for _, a := range b.Acks {
		receipts = append(receipts, a.Receipt)
	}
	for _, n := range b.Nacks {
		receipts = append(receipts, n.Receipt)
	}
	for _, d := range b.Buries {
		receipts = append(receipts, d.Receipt)
	}
	for _, r := range receipts {
		if _, err := s.find(r); err != nil {
			return err
		}
	}
	for _, d := range b.LetterDeletes {
		l, ok := s.letters[d.ID]
		if !ok {
			return store.ErrNoLetter.WithTarget(fmt.Sprint(d.ID))
		}
		if d.Version != 0 && l.Version != d.Version {
			return store.LetterConflict(d.ID, d.Version, l.Version)
		}
	}
	for _, e := range b.LetterEdits {
		if l, ok := s.letters[e.ID]; !ok || e.Version != 0 && l.Version != e.Version {
			return store.LetterConflict(e.ID, e.Version, l.Version)
		}
	}
	return nil
}

func (s *memory) apply(b *store.Batch) (r store.Result) {
	now := time.Now()
	if f := b.Fence; f.Raise {
		l := s.leases[f.Lease]
		l.Epoch = f.Epoch
		s.leases[f.Lease] = l
	}
	for _, a := range b.Appends {
		for _, e := range a.Events {
			e.Stream, e.Position, e.Time = a.Stream, store.Position(len(s.streams[a.Stream])+1), now
			s.streams[a.Stream] = append(s.streams[a.Stream], e)
		}
		r.Heads = append(r.Heads, store.Position(len(s.streams[a.Stream])))
	}
	for _, n := range b.Snapshots {
		s.snaps[n.Stream] = n
	}
	for _, c := range b.Cursors {
		if s.cursors[c.Scope] == nil {
			s.cursors[c.Scope] = map[store.Producer]uint64{}
		}
		s.cursors[c.Scope][c.Producer] = c.Seq
		if c.Forget {
			delete(s.cursors[c.Scope], c.Producer)
		}
	}
	for _, a := range b.Acks {
		m, _ := s.find(a.Receipt)
		s.remove(m)
		s.done(m, store.Answer{Done: true, Time: now, Type: a.AnswerType, Data: a.Answer})
	}
	for _, n := range b.Nacks {
		m, _ := s.find(n.Receipt)
		m.held, m.Receipt, m.Owner, m.Until = false, store.Receipt{}, "", now.Add(n.Delay)
		if n.Uncounted {
			m.Attempts--
		}
		if n.Reason != "" {
			m.LastError = n.Reason
		}
	}
	for _, d := range b.Buries {
		m, _ := s.find(d.Receipt)
		s.remove(m)
		s.done(m, store.Answer{Done: true, Time: now})
		s.letters[store.LetterID(m.ID)] = store.Letter{
			ID: store.LetterID(m.ID), Version: 1, Queue: m.Queue, Priority: m.Priority, Key: m.Key, Envelope: m.Envelope,
			ErrorMessage: d.Reason, ErrorType: d.Code, RetryCount: m.Attempts - 1, CreatedAt: now, LastRetryAt: now,
		}
	}
	for _, d := range b.LetterDeletes {
		delete(s.letters, d.ID)
	}
	for _, e := range b.LetterEdits {
		e.Version = s.letters[e.ID].Version + 1
		s.letters[e.ID] = e
	}
	for _, p := range b.Puts {
		r.Puts = append(r.Puts, s.put(p, now))
	}
	return r
}

func (s *memory) done(m *memoryMessage, a store.Answer) {
	if d := s.dedup[string(m.Queue)+"\x00"+m.RequestID]; d != nil && d.id == m.ID {
		d.answer, d.until = a, time.Now().Add(m.dedup)
	}
}

func (s *memory) put(p store.Put, now time.Time) store.PutResult {
	key := string(p.Queue) + "\x00" + p.RequestID
	if d := s.dedup[key]; p.Dedup > 0 && d != nil && (!d.answer.Done || now.Before(d.until)) {
		return store.PutResult{ID: d.id, Duplicate: true, Answer: d.answer}
	}
	s.next++
	m := &memoryMessage{dedup: p.Dedup, Message: store.Message{
		ID: store.MessageID(s.next), Queue: p.Queue, Priority: p.Priority, Key: p.Key, Time: now, Until: now.Add(p.Delay), Envelope: p.Envelope,
	}}
	s.queues[p.Queue] = append(s.queues[p.Queue], m)
	if p.Dedup > 0 {
		s.dedup[key] = &memoryAnswer{id: m.ID}
	}
	return store.PutResult{ID: m.ID}
}

func (s *memory) Receive(ctx context.Context, r store.ReceiveRequest) ([]store.Message, error) {
	r, err := r.Normal(store.Limits{})
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	if s.beforeReceive != nil {
		if err := s.beforeReceive(); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	var got []store.Message
	for _, p := range []store.Priority{store.High, store.Normal} {
		blocked := map[string]bool{}
		for _, m := range s.queues[r.Queue] {
			if m.Priority != p || len(got) == r.Max {
				continue
			}
			if now.Before(m.Until) || r.Ordered && m.Key != "" && blocked[m.Key] {
				blocked[m.Key] = true
				continue
			}
			s.next++
			m.held, m.Attempts, m.Owner, m.Until = true, m.Attempts+1, r.Owner, now.Add(r.Hold)
			m.Receipt = store.Receipt{ID: m.ID, Grant: s.next}
			got = append(got, m.Message)
		}
	}
	return got, nil
}

func (s *memory) Extend(_ context.Context, d time.Duration, receipts ...store.Receipt) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range receipts {
		if _, err := s.find(r); err != nil {
			return err
		}
	}
	for _, r := range receipts {
		m, _ := s.find(r)
		m.Until = time.Now().Add(d)
	}
	return nil
}

func (s *memory) Ready(ctx context.Context, prefix store.Queue) iter.Seq2[store.Queue, error] {
	return func(yield func(store.Queue, error) bool) {
		for {
			s.mu.Lock()
			changed, closed := s.changed, s.closed
			now, next := time.Now(), time.Time{}
			var ready []store.Queue
			for _, q := range slices.Sorted(maps.Keys(s.queues)) {
				if !strings.HasPrefix(string(q), string(prefix)) {
					continue
				}
				for _, m := range s.queues[q] {
					if !now.Before(m.Until) {
						ready = append(ready, q)
						break
					}
					if next.IsZero() || m.Until.Before(next) {
						next = m.Until
					}
				}
			}
			s.mu.Unlock()
			if closed {
				yield("", store.ErrClosed)
				return
			}
			for _, q := range ready {
				if !yield(q, nil) {
					return
				}
			}
			var timer <-chan time.Time
			if !next.IsZero() {
				timer = time.After(time.Until(next))
			}
			select {
			case <-ctx.Done():
				yield("", ctx.Err())
				return
			case <-changed:
			case <-timer:
			}
		}
	}
}

func (s *memory) Messages(_ context.Context, f store.MessageFilter) ([]store.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []store.Message
	for _, m := range s.queues[f.Queue] {
		if m.ID > f.After && (f.Limit == 0 || len(all) < f.Limit) {
			all = append(all, m.Message)
		}
	}
	return all, nil
}

func (s *memory) QueueStats(_ context.Context, f store.QueueFilter) ([]store.QueueInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []store.QueueInfo
	for _, q := range slices.Sorted(maps.Keys(s.queues)) {
		if strings.HasPrefix(string(q), string(f.Prefix)) {
			all = append(all, store.QueueInfo{Queue: q, Ready: int64(len(s.queues[q]))})
		}
	}
	return all, nil
}

func (s *memory) Answer(_ context.Context, q store.Queue, id string) (store.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.dedup[string(q)+"\x00"+id]; d != nil {
		return d.answer, nil
	}
	return store.Answer{}, store.ErrNoRequest
}

func (s *memory) Read(_ context.Context, stream store.Stream, from store.Position) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		s.mu.Lock()
		all := slices.Clone(s.streams[stream])
		s.mu.Unlock()
		if len(all) == 0 {
			yield(store.Event{}, store.ErrUnknownStream)
			return
		}
		for _, e := range all {
			if e.Position >= from && !yield(e, nil) {
				return
			}
		}
	}
}

func (s *memory) Head(_ context.Context, stream store.Stream) (store.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.streams[stream]) == 0 {
		return 0, store.ErrUnknownStream
	}
	return store.Position(len(s.streams[stream])), nil
}

func (s *memory) Snapshot(_ context.Context, stream store.Stream) (store.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.snaps[stream]; ok {
		return n, nil
	}
	return store.Snapshot{}, store.ErrNoSnapshot
}

func (s *memory) Streams(context.Context, store.StreamFilter) ([]store.StreamInfo, error) {
	return nil, nil
}

func (s *memory) Cursors(_ context.Context, scope string) (map[store.Producer]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.cursors[scope]), nil
}

func (s *memory) Acquire(_ context.Context, name store.LeaseName, owner string, ttl time.Duration) (store.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leases[name]
	if l.Owner != "" && l.Owner != owner && time.Now().Before(l.Until) {
		return store.Lease{}, store.LeaseHeld(l)
	}
	l = store.Lease{Name: name, Owner: owner, Epoch: l.Epoch + 1, Until: time.Now().Add(ttl)}
	s.leases[name] = l
	return l, nil
}

// steal gives a lease to another, as if it had run out.
func (s *memory) steal(name store.LeaseName, owner string, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases[name] = store.Lease{Name: name, Owner: owner, Epoch: s.leases[name].Epoch + 1, Until: time.Now().Add(ttl)}
	return nil
}

func (s *memory) Renew(_ context.Context, l store.Lease, ttl time.Duration) (store.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.leases[l.Name]
	if have.Epoch != l.Epoch || have.Owner != l.Owner {
		return store.Lease{}, store.StaleEpoch("store.Renew", l.Name, l.Epoch, have.Epoch)
	}
	have.Until = time.Now().Add(ttl)
	s.leases[l.Name] = have
	return have, nil
}

func (s *memory) Release(_ context.Context, l store.Lease) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.leases[l.Name]
	if have.Epoch != l.Epoch {
		return store.StaleEpoch("store.Release", l.Name, l.Epoch, have.Epoch)
	}
	have.Owner = ""
	s.leases[l.Name] = have
	return nil
}

func (s *memory) Holder(_ context.Context, name store.LeaseName) (store.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.leases[name]; ok {
		return l, nil
	}
	return store.Lease{}, store.ErrNoLease
}

func (s *memory) Letter(_ context.Context, id store.LetterID) (store.Letter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.letters[id]; ok {
		return l, nil
	}
	return store.Letter{}, store.ErrNoLetter
}

func (s *memory) Letters(_ context.Context, f store.LetterFilter) ([]store.Letter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []store.Letter
	for _, id := range slices.Sorted(maps.Keys(s.letters)) {
		l := s.letters[id]
		if id > f.After && (f.Limit == 0 || len(all) < f.Limit) && (f.Queue == "" || l.Queue == f.Queue) &&
			(f.RequestID == "" || l.RequestID == f.RequestID) && (f.ErrorType == "" || l.ErrorType == f.ErrorType) &&
			(f.Type == "" || l.Type == f.Type) {
			all = append(all, l)
		}
	}
	return all, nil
}

func (s *memory) CountLetters(ctx context.Context, f store.LetterFilter) (int64, error) {
	all, err := s.Letters(ctx, f)
	return int64(len(all)), err
}

func (s *memory) Entry(context.Context, string) (store.Entry, error) {
	return store.Entry{}, store.ErrNoEntry
}

func (s *memory) Entries(context.Context, store.EntryFilter) ([]store.Entry, error) {
	return nil, nil
}

func (s *memory) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.notify()
	return nil
}
