package store

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Validate returns the first thing that is wrong with a batch whatever is
// stored: [ErrInvalid] or [ErrTooLarge] with the place. Engines call it first,
// so that they all refuse the same.
func (b *Batch) Validate(l Limits) error {
	v := validator{op: "store.Commit", limits: l.WithDefaults()}
	if n := b.Items(); n > v.limits.BatchItems {
		v.large("batch", "changes", n, v.limits.BatchItems, "Limits.BatchItems")
	}
	v.fence(b.Fence)
	for i := range b.Appends {
		v.appends(i, &b.Appends[i])
	}
	v.snapshots(b.Snapshots)
	for i, t := range b.Trims {
		at := place{"Trims", i}
		v.name(at, "Stream", string(t.Stream))
		v.require(t.Through > 0, at, "Through", "is %d, but positions begin with 1", t.Through)
	}
	v.cursors(b.Cursors)
	for i, s := range b.Sets {
		at := place{"Sets", i}
		v.name(at, "Key", s.Key)
		v.meta(at, "Value", len(s.Value))
		v.require(s.Expected >= AnyVersion, at, "Expected", "is %d, want a version, Absent or AnyVersion", s.Expected)
	}
	v.receipts(b)
	v.letters(b)
	for i := range b.Puts {
		v.put(i, &b.Puts[i])
	}
	if v.err == nil && v.bytes > v.limits.BatchBytes {
		v.large("batch", "bytes of payload", v.bytes, v.limits.BatchBytes, "Limits.BatchBytes")
	}
	return v.err
}

// A place is an element of a batch.
type place struct {
	field string
	index int
}

func (p place) String() string {
	if p.index < 0 {
		return p.field
	}
	return fmt.Sprintf("%s[%d]", p.field, p.index)
}

// A validator keeps the first error, and the sum of the payloads.
type validator struct {
	op     string
	limits Limits
	bytes  int
	err    error
}

func (v *validator) require(ok bool, at place, field, format string, args ...any) {
	if ok || v.err != nil {
		return
	}
	v.err = Failure(ErrInvalid, v.op, at.String()+"."+field, fmt.Errorf(format, args...))
}

func (v *validator) large(target, unit string, n, limit int, name string) {
	if v.err == nil {
		v.err = Failure(ErrTooLarge, v.op, target, fmt.Errorf("%d %s, the limit is %d (%s)", n, unit, limit, name))
	}
}

// name checks something that must be there, optional something that may be.
func (v *validator) name(at place, field, name string) {
	v.require(name != "", at, field, "is empty")
	v.optional(at, field, name)
}

func (v *validator) optional(at place, field, name string) {
	if v.err != nil || name == "" {
		return
	}
	if len(name) > v.limits.NameBytes {
		v.large(at.String()+"."+field, "bytes", len(name), v.limits.NameBytes, "Limits.NameBytes")
		return
	}
	if i := badRune(name); i >= 0 {
		v.require(false, at, field, "%q has a control character or invalid UTF-8 at byte %d", name, i)
	}
}

// badRune returns the index of the first byte that a name may not have, or -1.
func badRune(name string) int {
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == 0x7f {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(name[i:])
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) {
			return i
		}
		i += size
	}
	return -1
}

func (v *validator) payload(at place, n int) {
	v.bytes += n
	if n > v.limits.PayloadBytes {
		v.large(at.String()+".Data", "bytes", n, v.limits.PayloadBytes, "Limits.PayloadBytes")
	}
}

func (v *validator) meta(at place, field string, n int) {
	v.bytes += n
	if n > v.limits.MetaBytes {
		v.large(at.String()+"."+field, "bytes", n, v.limits.MetaBytes, "Limits.MetaBytes")
	}
}

func (v *validator) fence(f Fence) {
	if f == (Fence{}) {
		return
	}
	at := place{"Fence", -1}
	v.name(at, "Lease", string(f.Lease))
	v.require(f.Epoch > 0, at, "Epoch", "is %d, but epochs begin with 1", f.Epoch)
}

func (v *validator) appends(i int, a *Append) {
	at := place{"Appends", i}
	v.name(at, "Stream", string(a.Stream))
	v.require(a.Expected >= Any && a.Expected < Everything-Position(len(a.Events)), at, "Expected",
		"is %d, want a position, NoStream or Any", a.Expected)
	for k := range a.Events {
		e := &a.Events[k]
		if len(e.Data) > v.limits.PayloadBytes || len(e.Meta) > v.limits.MetaBytes || len(e.Type) > v.limits.NameBytes ||
			badRune(e.Type) >= 0 || !storable(e.Time) {
			at := place{fmt.Sprintf("Appends[%d].Events", i), k}
			v.optional(at, "Type", e.Type)
			v.meta(at, "Meta", len(e.Meta))
			v.payload(at, len(e.Data))
			v.time(at, "Time", e.Time)
			return
		}
		v.bytes += len(e.Data) + len(e.Meta)
	}
}

func (v *validator) snapshots(all []Snapshot) {
	for i := range all {
		s := &all[i]
		at := place{"Snapshots", i}
		v.name(at, "Stream", string(s.Stream))
		v.optional(at, "Type", s.Type)
		v.require(s.Position > 0 && s.Position < Everything, at, "Position", "is %d, but positions begin with 1", s.Position)
		v.time(at, "Time", s.Time)
		v.payload(at, len(s.Data))
	}
}

func (v *validator) cursors(all []Cursor) {
	for i := range all {
		c := &all[i]
		at := place{"Cursors", i}
		v.name(at, "Scope", c.Scope)
		v.name(at, "Producer", string(c.Producer))
		v.require(c.Forget || c.Seq > 0 && c.Seq < 1<<63, at, "Seq", "is %d, want 1 to 1<<63 - 1", c.Seq)
	}
}

func (v *validator) receipts(b *Batch) {
	for i := range b.Acks {
		a := &b.Acks[i]
		at := place{"Acks", i}
		v.receipt(at, a.Receipt)
		v.optional(at, "AnswerType", a.AnswerType)
		v.payload(at, len(a.Answer))
	}
	for i := range b.Nacks {
		n := &b.Nacks[i]
		at := place{"Nacks", i}
		v.receipt(at, n.Receipt)
		v.require(n.Delay <= delayMax, at, "Delay", "is %v, the most is %v", n.Delay, delayMax)
	}
	for i := range b.Buries {
		n := &b.Buries[i]
		at := place{"Buries", i}
		v.receipt(at, n.Receipt)
		v.optional(at, "Code", n.Code)
		v.meta(at, "Reason", len(n.Reason))
	}
}

func (v *validator) receipt(at place, r Receipt) {
	v.require(r.ID > 0 && r.Grant > 0, at, "Receipt", "is %+v, want the receipt of a message", r)
}

func (v *validator) letters(b *Batch) {
	for i, d := range b.LetterDeletes {
		at := place{"LetterDeletes", i}
		v.require(d.ID > 0, at, "ID", "is %d, but ids begin with 1", d.ID)
		v.require(d.Version >= 0, at, "Version", "is %d, want a version, or 0 for any", d.Version)
	}
	for i := range b.LetterEdits {
		at := place{"LetterEdits", i}
		v.require(b.LetterEdits[i].ID > 0, at, "ID", "is %d, but ids begin with 1", b.LetterEdits[i].ID)
		v.require(b.LetterEdits[i].Version >= 0, at, "Version", "is %d, want a version, or 0 for any", b.LetterEdits[i].Version)
		v.letter(at, &b.LetterEdits[i])
	}
	for i := range b.LetterAdds {
		at := place{"LetterAdds", i}
		v.require(b.LetterAdds[i].ID == 0, at, "ID", "is %d, but the store gives ids", b.LetterAdds[i].ID)
		v.letter(at, &b.LetterAdds[i])
	}
}

func (v *validator) letter(at place, l *Letter) {
	v.optional(at, "Queue", string(l.Queue))
	v.optional(at, "Key", l.Key)
	v.optional(at, "ErrorType", l.ErrorType)
	v.meta(at, "ErrorMessage", len(l.ErrorMessage))
	v.require(l.Priority <= High, at, "Priority", "is %d, want Normal or High", l.Priority)
	v.require(l.RetryCount >= 0, at, "RetryCount", "is %d, want 0 or more", l.RetryCount)
	v.time(at, "CreatedAt", l.CreatedAt)
	v.time(at, "LastRetryAt", l.LastRetryAt)
	v.envelope(at, &l.Envelope)
}

func (v *validator) put(i int, p *Put) {
	at := place{"Puts", i}
	v.name(at, "Queue", string(p.Queue))
	v.optional(at, "Key", p.Key)
	v.require(p.Priority <= High, at, "Priority", "is %d, want Normal or High", p.Priority)
	v.require(p.Delay <= delayMax, at, "Delay", "is %v, the most is %v", p.Delay, delayMax)
	v.require(p.Dedup >= 0 && p.Dedup <= v.limits.DedupMax, at, "Dedup",
		"is %v, want 0 to %v (Limits.DedupMax)", p.Dedup, v.limits.DedupMax)
	v.require(p.Dedup == 0 || p.RequestID != "", at, "RequestID", "is empty, but Dedup asks for one")
	v.envelope(at, &p.Envelope)
}

func (v *validator) envelope(at place, e *Envelope) {
	v.optional(at, "Type", e.Type)
	v.optional(at, "RequestID", e.RequestID)
	v.optional(at, "CallerID", e.CallerID)
	v.optional(at, "TargetID", e.TargetID)
	v.optional(at, "TraceID", e.TraceID)
	v.optional(at, "SpanID", e.SpanID)
	v.meta(at, "Meta", len(e.Meta))
	v.payload(at, len(e.Data))
}

func (v *validator) time(at place, field string, t time.Time) {
	v.require(storable(t), at, field, "is %v, want a year from 1970 to 9999, or zero", t)
}

// storable reports whether a time survives as milliseconds in every engine.
func storable(t time.Time) bool {
	const year10k = 253402300800 // seconds
	return t.IsZero() || t.Unix() > 0 && t.Unix() < year10k
}

// Normal returns r with its defaults, or [ErrInvalid].
func (r ReceiveRequest) Normal(l Limits) (ReceiveRequest, error) {
	v := validator{op: "store.Receive", limits: l.WithDefaults()}
	at := place{"ReceiveRequest", -1}
	if r.Max == 0 {
		r.Max = 1
	}
	if r.Hold == 0 {
		r.Hold = holdDefault
	}
	v.name(at, "Queue", string(r.Queue))
	v.optional(at, "Owner", r.Owner)
	v.require(r.Max > 0 && r.Max <= pageMax, at, "Max", "is %d, want 1 to %d", r.Max, pageMax)
	v.require(r.Hold >= time.Millisecond && r.Hold <= holdMax, at, "Hold", "is %v, want 1ms to %v", r.Hold, holdMax)
	return r, v.err
}

// PageLimit returns how many items a list with this limit has at most: 100 for 0.
// A negative limit, or one above 10,000, is [ErrInvalid].
func PageLimit(op string, limit int) (int, error) {
	if limit == 0 {
		return pageDefault, nil
	}
	if limit < 0 || limit > pageMax {
		return 0, Failure(ErrInvalid, op, "Limit", fmt.Errorf("is %d, want 1 to %d, or 0 for %d", limit, pageMax, pageDefault))
	}
	return limit, nil
}

// CheckName returns [ErrInvalid] or [ErrTooLarge] for a name that cannot be one.
func CheckName(op, what, name string, l Limits) error {
	v := validator{op: op, limits: l.WithDefaults()}
	v.name(place{what, -1}, "name", name)
	return v.err
}

// CheckHold returns [ErrInvalid] for a time that messages cannot be held.
func CheckHold(op string, d time.Duration) error {
	return checkDuration(op, "hold", d, holdMax)
}

// CheckTTL returns [ErrInvalid] for a time that a lease cannot be held.
func CheckTTL(op string, d time.Duration) error {
	return checkDuration(op, "ttl", d, ttlMax)
}

func checkDuration(op, what string, d, most time.Duration) error {
	if d < time.Millisecond || d > most {
		return Failure(ErrInvalid, op, what, fmt.Errorf("is %v, want 1ms to %v", d, most))
	}
	return nil
}

// CleanText returns a text for people, such as a reason, as engines keep it: at
// most limit bytes of valid UTF-8 without zero bytes, cut between characters.
func CleanText(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
}
