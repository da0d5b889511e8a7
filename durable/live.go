package durable

import (
	"crypto/rand"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/troupe-dev/troupe/actor"
)

// A message that is asked has an actor.Reply in it, which leads to a goroutine of
// this process and can't be stored. So the value itself is kept until its actor
// has handled it, under a token that is stored with the message. All other
// messages are decoded from what was stored, so that what is handled is what a
// crash would leave.
type liveMessages[M any] struct {
	never bool     // no message of a concrete type M has a Reply
	types sync.Map // reflect.Type → []replyPath; those without a Reply as well

	mu       sync.Mutex
	instance string // tells the tokens of different processes and mailboxes apart
	last     uint64
	messages map[uint64]liveMessage[M]
}

type liveMessage[M any] struct {
	value   M
	replies []failer
}

// failer is an actor.Reply of any type.
type failer interface{ Fail(err error) bool }

// replyPath leads to a Reply within a message.
type replyPath []int

// repliesOf returns the replies that a message has, nil if there are none.
func (l *liveMessages[M]) repliesOf(m M) []failer {
	if l.never {
		return nil
	}
	v := reflect.ValueOf(m)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	known, ok := l.types.Load(v.Type())
	if !ok {
		known, _ = l.types.LoadOrStore(v.Type(), replyPaths(v.Type(), nil))
	}
	var found []failer
	for _, path := range known.([]replyPath) {
		if r, ok := reflect.TypeAssert[failer](v.FieldByIndex(path)); ok && !v.FieldByIndex(path).IsZero() {
			found = append(found, r)
		}
	}
	return found
}

// neverReplies reports whether no value of M can have a Reply that is found.
func neverReplies[M any]() bool {
	t := reflect.TypeFor[M]()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() != reflect.Interface && len(replyPaths(t, nil)) == 0
}

// replyPaths finds the exported replies in a struct and in the structs within it.
func replyPaths(t reflect.Type, at replyPath) []replyPath {
	if isReply(t) {
		return []replyPath{at}
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var found []replyPath
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			found = append(found, replyPaths(f.Type, append(slices.Clip(at), i))...)
		}
	}
	return found
}

func isReply(t reflect.Type) bool {
	return t.PkgPath() == reflect.TypeFor[actor.Ref[int]]().PkgPath() && strings.HasPrefix(t.Name(), "Reply[")
}

// add keeps a message and returns its number and the token to store.
func (l *liveMessages[M]) add(m M, replies []failer) (uint64, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.messages == nil {
		l.instance, l.messages = rand.Text(), map[uint64]liveMessage[M]{}
	}
	l.last++
	l.messages[l.last] = liveMessage[M]{m, replies}
	return l.last, l.instance + "." + strconv.FormatUint(l.last, 10)
}

// find returns the number and the value that a token stands for, if it is of
// this process.
func (l *liveMessages[M]) find(token string) (n uint64, m liveMessage[M], ok bool) {
	instance, number, _ := strings.Cut(token, ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0, m, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if instance != l.instance {
		return 0, m, false
	}
	m, ok = l.messages[n]
	return n, m, ok
}

// drop forgets a message. The number 0 is none.
func (l *liveMessages[M]) drop(n uint64) {
	if n == 0 {
		return
	}
	l.mu.Lock()
	delete(l.messages, n)
	l.mu.Unlock()
}

// take forgets a message and returns it.
func (l *liveMessages[M]) take(n uint64) liveMessage[M] {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.messages[n]
	delete(l.messages, n)
	return m
}

// fail tells all askers that there will be no answer yet.
func (l *liveMessages[M]) fail(err error) {
	l.mu.Lock()
	all := l.messages
	if len(all) > 0 {
		l.messages = map[uint64]liveMessage[M]{}
	}
	l.mu.Unlock()
	for _, m := range all {
		m.fail(err)
	}
}

func (m liveMessage[M]) fail(err error) {
	for _, r := range m.replies {
		r.Fail(err)
	}
}
