package durable

import (
	"errors"
	"reflect"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// Req S5: what does not decode is poison, whatever it is, and what does decode is
// what it says.

type fuzzed struct {
	Name string `json:"name"`
	N    int    `json:"n"`
	Raw  []byte `json:"raw"`
}

type fuzzedV1 struct {
	Names []string `json:"names"`
}

var fuzzedUnion = NewUnion(
	Type[any](wire.CBOR[fuzzed]("fuzz.B")),
	Type[any](wire.JSON[*fuzzed]("fuzz.C")),
	Upcast(wire.MessagePack[fuzzedV1]("fuzz.A"), func(old fuzzedV1) (any, error) {
		return fuzzed{Name: old.Names[0]}, nil // panics without one
	}),
)

func FuzzMeta(f *testing.F) {
	for _, m := range []meta{
		{}, {codec: "cbor"}, {codec: "a;b=c", flags: 1, live: "x.1"}, {codec: "json", origin: Origin{"node-1", 7}, redrives: 2, subject: "a/b"},
	} {
		f.Add(m.encode())
	}
	f.Add([]byte("cbor;seq=x"))
	f.Add([]byte("cbor;later=1;flags=ff;;=;redrives=-1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		if m.origin.Producer == "" {
			m.origin.Seq = 0 // a number of nobody is not kept
		}
		again, err := parseMeta(m.encode())
		if err != nil || again != m {
			t.Errorf("%q is %+v, and again %+v, %v", b, m, again, err)
		}
	})
}

func FuzzUnion(f *testing.F) {
	for _, value := range []any{fuzzed{"a", 1, []byte{2}}, &fuzzed{Name: "b"}} {
		m, err := fuzzedUnion.Encode(value)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Codec, m.Type, m.Data)
	}
	f.Add("msgpack", "fuzz.A", []byte{0x81, 0xa5, 'n', 'a', 'm', 'e', 's', 0x90})
	f.Add("cbor", "fuzz.D", []byte(nil))
	f.Fuzz(func(t *testing.T, codec, name string, data []byte) {
		value, err := fuzzedUnion.Decode(wire.Message{Codec: codec, Type: name, Data: data})
		if err != nil {
			mustBePoison(t, err)
			return
		}
		m, err := fuzzedUnion.Encode(value)
		if err != nil {
			t.Fatalf("%#v does not encode: %v", value, err)
		}
		if again, err := fuzzedUnion.Decode(m); err != nil || !reflect.DeepEqual(again, value) {
			t.Errorf("%#v became %#v, %v", value, again, err)
		}
	})
}

// FuzzMessage decodes what is in a queue, and brings it back from the dead letters.
func FuzzMessage(f *testing.F) {
	f.Add("fuzz.B", []byte("cbor"), []byte{0xa0})
	f.Add("fuzz.B", []byte("cbor;from=a;seq=1"), []byte{0xff})
	f.Add("fuzz.X", []byte("%zz"), []byte(nil))
	box := &Mailbox[any]{spec: MailboxSpec[any]{Queue: "q", Codec: fuzzedUnion}}
	f.Fuzz(func(t *testing.T, name string, about, data []byte) {
		e := store.Envelope{Type: name, Meta: about, Data: data}
		_, m, err := box.decode(&store.Message{Envelope: e})
		if err != nil {
			mustBePoison(t, err)
		}
		put, failed := redrivePut(&store.Letter{ID: 1, Queue: "q", Envelope: e})
		if failed != nil {
			t.Fatal(failed)
		}
		_, again, err2 := box.decode(&store.Message{Envelope: put.Envelope})
		if (err == nil) != (err2 == nil) {
			t.Errorf("before the redrive %v, after it %v", err, err2)
		}
		if err == nil && (again.redrives != m.redrives+1 || again.origin != Origin{} || again.live != "" || again.codec != m.codec) {
			t.Errorf("%+v was redriven as %+v", m, again)
		}
	})
}

// FuzzAnswer decodes stored answers, events and snapshots: what has its codec and
// type in one field.
func FuzzAnswer(f *testing.F) {
	f.Add("cbor:fuzz.B", []byte{0xa0})
	f.Add(faultAnswer, []byte(`{"code":"NOT_FOUND","message":"no such account"}`))
	f.Add(faultAnswer, []byte(`{"code":7}`))
	f.Add("", []byte(nil))
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		value, err := decodeAnswer[any](fuzzedUnion, outcome{kind: kind, data: data})
		if kind == faultAnswer {
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				mustBePoison(t, err)
			}
		} else if err != nil {
			mustBePoison(t, err)
		}
		event, err2 := decodeEvent[any](fuzzedUnion, &store.Event{Type: kind, Data: data})
		if kind != faultAnswer && ((err == nil) != (err2 == nil) || !reflect.DeepEqual(value, event)) {
			t.Errorf("as an answer %v, %v; as an event %v, %v", value, err, event, err2)
		}
		codec, name := splitKind(kind)
		if again := joinKind(wire.Message{Codec: codec, Type: name}); again != kind && again != kind+":" {
			t.Errorf("%q became %q", kind, again)
		}
	})
}

func mustBePoison(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*wire.PoisonError](err); !ok || fault.CodeOf(err) != fault.Poison {
		t.Errorf("%T with code %v: %v", err, fault.CodeOf(err), err)
	}
}
