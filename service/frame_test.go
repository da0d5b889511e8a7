package service

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

func sampleRequest() *request {
	return &request{
		target: "/a/b", service: "s.v1.S", method: "M", requestID: "r", callerID: "/c", timeout: 1500 * time.Millisecond,
		trace: actor.Trace{ID: [16]byte{1, 15: 2}, Span: [8]byte{3, 7: 4}, Flags: 1}, retries: 2,
		message: wire.Message{Type: "t", Codec: "json", Data: []byte(`{"x":1}`)},
	}
}

func TestRequestFrame(t *testing.T) {
	t.Parallel()
	for _, r := range []*request{sampleRequest(), {target: "/a", service: "s", method: "m", message: wire.Message{Type: "t", Codec: "c", Data: []byte{}}}} {
		got, err := decodeRequest(r.append(nil))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v came back as %+v, %v", r, got, err)
		}
	}
	// Fields of a newer version are skipped, of whatever kind.
	frame := sampleRequest().append(nil)
	frame = protowire.AppendVarint(protowire.AppendTag(frame, 50, protowire.VarintType), 7)
	frame = protowire.AppendFixed64(protowire.AppendTag(frame, 1, protowire.Fixed64Type), 7)
	frame = protowire.AppendFixed32(protowire.AppendTag(frame, 52, protowire.Fixed32Type), 7)
	frame = protowire.AppendBytes(protowire.AppendTag(frame, 53, protowire.BytesType), []byte("new"))
	if got, err := decodeRequest(frame); err != nil || !reflect.DeepEqual(got, sampleRequest()) {
		t.Errorf("a newer frame: %+v, %v", got, err)
	}
}

func TestRequestFrameErrors(t *testing.T) {
	t.Parallel()
	field := func(num protowire.Number, b string) []byte { return appendBytes(nil, num, []byte(b)) }
	for want, frame := range map[string][]byte{
		"it names no target":           nil,
		"unexpected EOF":               {0x0a, 5, 'a'},
		"is no UTF-8":                  field(requestTarget, "\xff"),
		"a trace has 25 bytes, not 3":  field(requestTrace, "abc"),
		"field 9: field 1":             field(requestMessage, "\x0a\x01\xff"),
		"invalid field number":         {0x02, 0},
		"variable length integer over": bytes.Repeat([]byte{0xff}, 11),
	} {
		if _, err := decodeRequest(frame); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%x: error %v, want %q", frame, err, want)
		}
	}
}

// A failure crosses with its code, even one whose outermost fault says another.
func TestFaultFrame(t *testing.T) {
	t.Parallel()
	long := fault.New(fault.NotFound, "x", "%s", strings.Repeat("\x00", maxHeader))
	long.Target = strings.Repeat("y", maxHeader)
	for _, err := range []error{
		fault.New(fault.NotFound, "x", "gone"), fault.Aborted, errors.New("plain"), long,
		errors.Join(fault.New(fault.Unavailable, "x", "a"), fault.New(fault.InvalidArgument, "x", "b")),
	} {
		out, bad := decodeResponse(faultFrame(err), nil, nil)
		if bad != nil || fault.CodeOf(out.err) != fault.CodeOf(err) || out.fromApplication {
			t.Errorf("%.100v came back as %.100v, %v", err, out.err, bad)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(sampleRequest().append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := decodeRequest(frame)
		if err != nil {
			return
		}
		again, err := decodeRequest(r.append(nil))
		if r.message.Data == nil {
			r.message.Data = []byte{}
		}
		if err != nil || !reflect.DeepEqual(again, r) && !r.trace.IsZero() {
			t.Fatalf("%+v came back as %+v, %v", r, again, err)
		}
	})
}

func FuzzResponse(f *testing.F) {
	m := &Method[int, string]{MethodInfo: MethodInfo{Service: "s", Name: "m"}, Request: wire.JSON[int]("i"), Response: wire.CBOR[string]("s")}
	own := errors.New("own")
	known := &ErrorTypes{}
	if err := known.RegisterErrorValue("own", own); err != nil {
		f.Fatal(err)
	}
	f.Add(responseFrame(m, outcome{response: "x"}, known, 1000))
	f.Add(responseFrame(m, outcome{err: errors.Join(own, fault.NotFound), fromApplication: true}, known, 1000))
	f.Add(faultFrame(fault.New(fault.Unavailable, "x", "y")))
	f.Fuzz(func(t *testing.T, frame []byte) {
		out, err := decodeResponse(frame, m, known)
		if err != nil {
			if fault.CodeOf(err) != fault.Poison {
				t.Fatalf("error %v", err)
			}
			return
		}
		if _, ok := out.response.(string); out.err == nil && !ok {
			t.Fatalf("neither an answer nor an error: %+v", out)
		}
		if out.err != nil && len(out.err.Error()) > 1<<20 {
			t.Fatalf("an error of %d bytes", len(out.err.Error()))
		}
		again, err := decodeResponse(responseFrame(m, out, known, 1<<20), m, known)
		if err != nil || fault.CodeOf(again.err) != fault.CodeOf(out.err) {
			t.Fatalf("%+v came back as %+v, %v", out, again, err)
		}
	})
}
