package service

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// What a mailbox kept as an answer decodes to what it was made of, or is POISON.
func FuzzAnswer(f *testing.F) {
	m := &Method[int, string]{MethodInfo: MethodInfo{Service: "s", Name: "m"}, Request: wire.JSON[int]("i"), Response: wire.CBOR[string]("s")}
	own := errors.New("own")
	c := &core{errors: &ErrorTypes{}}
	if err := c.errors.RegisterErrorValue("own", own); err != nil {
		f.Fatal(err)
	}
	for _, out := range []outcome{
		{response: "x"}, {response: 7}, // the latter can't be encoded
		{err: errors.Join(own, fault.NotFound), fromApplication: true},
	} {
		msg := c.closeAnswer(out, method{methodType: m})
		again, err := c.openAnswer(msg, m)
		if err != nil || out.fromApplication != again.fromApplication || out.fromApplication && !errors.Is(again.err, own) {
			f.Fatalf("%+v came back as %+v, %v", out, again, err)
		}
		f.Add(msg.Type, msg.Codec, msg.Data)
	}
	f.Fuzz(func(t *testing.T, typeName, codec string, data []byte) {
		out, err := c.openAnswer(wire.Message{Type: typeName, Codec: codec, Data: data}, m)
		if err != nil {
			if fault.CodeOf(err) != fault.Poison {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, err := c.openAnswer(c.closeAnswer(out, method{methodType: m}), m)
		switch {
		case out.err != nil && !out.fromApplication: // is no answer to be kept a second time
		case err != nil || fault.CodeOf(again.err) != fault.CodeOf(out.err) || again.fromApplication != out.fromApplication:
			t.Fatalf("%+v came back as %+v, %v", out, again, err)
		}
	})
}

// Whatever a peer says, a store takes it as a name.
func FuzzLetterName(f *testing.F) {
	f.Add("till\n7")
	f.Add(strings.Repeat("\x01", 600))
	f.Add("\xff\x00ü")
	f.Fuzz(func(t *testing.T, text string) {
		got := name(text)
		if len(got) > maxLetterName || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("%q became %q", text, got)
		}
	})
}
