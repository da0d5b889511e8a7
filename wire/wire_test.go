package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// order has what messages have.
type order struct {
	ID     uint64         `json:"id" msgpack:"id"`
	Name   string         `json:"name" msgpack:"name"`
	Price  float64        `json:"price" msgpack:"price"`
	Raw    []byte         `json:"raw" msgpack:"raw"`
	Lines  []line         `json:"lines" msgpack:"lines"`
	Tags   map[string]int `json:"tags" msgpack:"tags"`
	Placed time.Time      `json:"placed" msgpack:"placed"`
	Parent *order         `json:"parent,omitempty" msgpack:"parent,omitempty"`
	Any    any            `json:"any" msgpack:"any"`
}

type line struct {
	Item  string `json:"item" msgpack:"item"`
	Count int64  `json:"count" msgpack:"count"`
}

// handwritten are the types of order in each codec.
func handwritten() []wire.Type[order] {
	return []wire.Type[order]{wire.CBOR[order]("test.Order"), wire.MessagePack[order]("test.Order"), wire.JSON[order]("test.Order")}
}

func sample() order {
	return order{
		ID: 1<<63 + 1, Name: "née \x00 \"", Price: 0.1, Raw: []byte{0, 255, 1},
		Lines: []line{{"a", -1}, {"b", 1 << 40}}, Tags: map[string]int{"x": 1, "": -7},
		Placed: time.Date(2024, 2, 29, 12, 0, 0, 123456789, time.UTC), Parent: &order{ID: 2}, Any: "s",
	}
}

// equal compares orders; times as instants, nil as empty.
func equal(a, b order) bool {
	if !a.Placed.Equal(b.Placed) || len(a.Lines)+len(b.Lines) > 0 && !slices.Equal(a.Lines, b.Lines) || !bytes.Equal(a.Raw, b.Raw) {
		return false
	}
	if (a.Parent == nil) != (b.Parent == nil) || a.Parent != nil && !equal(*a.Parent, *b.Parent) {
		return false
	}
	if len(a.Tags)+len(b.Tags) > 0 && !reflect.DeepEqual(a.Tags, b.Tags) {
		return false
	}
	return a.ID == b.ID && a.Name == b.Name && a.Price == b.Price && reflect.DeepEqual(a.Any, b.Any)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, typ := range handwritten() {
		m, err := typ.Encode(sample())
		if err != nil {
			t.Fatalf("%s: %v", typ.CodecName(), err)
		}
		if m.Type != "test.Order" || m.Codec != typ.CodecName() {
			t.Errorf("message %s in %s", m.Type, m.Codec)
		}
		data := slices.Clone(m.Data)
		got, err := typ.Decode(m)
		if err != nil || !equal(got, sample()) {
			t.Errorf("%s: %+v, %v; want %+v", typ.CodecName(), got, err, sample())
		}
		clear(m.Data)
		if !equal(got, sample()) {
			t.Errorf("%s: the value changes with the data it came from", typ.CodecName())
		}
		prefixed, err := typ.Append([]byte("abc"), sample())
		if err != nil || !strings.HasPrefix(string(prefixed), "abc") || len(prefixed) != len(data)+3 {
			t.Errorf("%s: Append gave %d bytes after a prefix of 3, Encode %d; %v", typ.CodecName(), len(prefixed), len(data), err)
		}
	}
	pb := wire.Proto[*durationpb.Duration]()
	m, err := pb.Encode(durationpb.New(time.Minute))
	if err != nil || m.Type != "google.protobuf.Duration" || m.Codec != "proto" {
		t.Fatalf("%+v, %v", m, err)
	}
	d, err := pb.Decode(m)
	if err != nil || d.AsDuration() != time.Minute {
		t.Errorf("%v, %v", d, err)
	}
	ptr := wire.CBOR[*line]("test.Line")
	if m, err = ptr.Encode(&line{"x", 3}); err != nil {
		t.Fatal(err)
	}
	if l, err := ptr.Decode(m); err != nil || *l != (line{"x", 3}) {
		t.Errorf("%v, %v", l, err)
	}
}

// Receivers ignore what they do not know, so that messages may grow.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	type newer struct {
		Item string `json:"item" msgpack:"item"`
		Note string `json:"note" msgpack:"note"`
	}
	for _, pair := range []struct {
		sender   wire.Type[newer]
		receiver wire.Type[line]
	}{
		{wire.CBOR[newer]("l"), wire.CBOR[line]("l")},
		{wire.MessagePack[newer]("l"), wire.MessagePack[line]("l")},
		{wire.JSON[newer]("l"), wire.JSON[line]("l")},
	} {
		m, err := pair.sender.Encode(newer{"x", "y"})
		if err != nil {
			t.Fatal(err)
		}
		if l, err := pair.receiver.Decode(m); err != nil || l.Item != "x" {
			t.Errorf("%s: %v, %v", m.Codec, l, err)
		}
	}
}

// Req F1, F4: what does not decode is POISON and keeps its bytes.
func TestPoison(t *testing.T) {
	t.Parallel()
	deep := func(open byte) []byte { return bytes.Repeat([]byte{open}, 1<<20) }
	for _, tt := range []struct {
		typ  wire.Type[order]
		data []byte
		want string
	}{
		{wire.JSON[order]("o"), []byte(`{"id":"x"}`), "cannot unmarshal string"},
		{wire.JSON[order]("o"), []byte(`{} {}`), "after top-level value"},
		{wire.JSON[order]("o"), nil, "unexpected end"},
		{wire.JSON[order]("o"), append([]byte(`{"any":`), deep('[')...), "more than 128 deep"},
		{wire.CBOR[order]("o"), []byte{0xa1, 0x62, 'i', 'd', 0x61, 'x'}, "cannot unmarshal"},
		{wire.CBOR[order]("o"), []byte{0xa0, 0xa0}, "extraneous data"},
		{wire.CBOR[order]("o"), nil, "EOF"},
		{wire.CBOR[order]("o"), deep(0x81), "exceeded max nested level 128"},
		{wire.CBOR[order]("o"), []byte{0x9b, 0x7f, 255, 255, 255, 255, 255, 255, 255}, ""},
		{wire.CBOR[order]("o"), []byte{0xa2, 0x62, 'i', 'd', 1, 0x62, 'i', 'd', 2}, "duplicate map key"},
		{wire.MessagePack[order]("o"), []byte{0x81, 0xa2, 'i', 'd', 0xa1, 'x'}, "invalid code"},
		{wire.MessagePack[order]("o"), []byte{0x80, 0x80}, "1 bytes follow the value"},
		{wire.MessagePack[order]("o"), nil, "ends in the middle"},
		{wire.MessagePack[order]("o"), deep(0x91), "more than 128 deep"},
		{wire.MessagePack[order]("o"), []byte{0xdd, 255, 255, 255, 255}, "ends in the middle"},
		{wire.MessagePack[order]("o"), []byte{0xc6, 255, 255, 255, 255, 1}, "ends in the middle"},
		{wire.MessagePack[order]("o"), []byte{0xc1}, "begins no value"},
	} {
		name := fmt.Sprintf("%s %.20q", tt.typ.CodecName(), tt.data)
		_, err := tt.typ.Decode(wire.Message{Type: "o", Codec: tt.typ.CodecName(), Data: tt.data})
		var poison *wire.PoisonError
		if !errors.As(err, &poison) || fault.CodeOf(err) != fault.Poison || !bytes.Equal(poison.Message.Data, tt.data) {
			t.Errorf("%s: error %v, want a PoisonError with the data", name, err)
		} else if !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 300 {
			t.Errorf("%s: error %q, want %q", name, err, tt.want)
		}
	}
}

func TestPoisonOfOtherKinds(t *testing.T) {
	t.Parallel()
	pb, ptr := wire.Proto[*wrapperspb.StringValue](), wire.JSON[*line]("test.Line")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{decodeError(pb, wire.Message{Type: pb.Name(), Codec: "proto", Data: []byte{0x0a, 0xff}}), "cannot parse"},
		{decodeError(pb, wire.Message{Type: pb.Name(), Codec: "proto", Data: []byte{0x0a, 1, 0xff}}), "invalid UTF-8"},
		{decodeError(pb, wire.Message{Type: pb.Name(), Codec: "json", Data: []byte("1")}), "the message is of another type"},
		{decodeError(pb, wire.Message{Type: "other", Codec: "proto"}), "the message is of another type"},
		{decodeError(ptr, wire.Message{Type: "test.Line", Codec: "json", Data: []byte("null")}), "it holds no value"},
		{decodeError(wire.NewType[line]("p", panicking{}), wire.Message{Type: "p", Codec: "panicking"}), "panic: boom"},
	} {
		if fault.CodeOf(tt.err) != fault.Poison || !strings.Contains(fmt.Sprint(tt.err), tt.want) {
			t.Errorf("error %v, want POISON and %q", tt.err, tt.want)
		}
	}
	if err := decodeError(pb, wire.Message{Type: "other"}); !errors.Is(err, wire.ErrWrongType) {
		t.Errorf("%v is not ErrWrongType", err)
	}
}

func decodeError[M any](t wire.Type[M], m wire.Message) error {
	_, err := t.Decode(m)
	return err
}

// panicking is a codec that fails in the worst way.
type panicking struct{}

func (panicking) Name() string                       { return "panicking" }
func (panicking) Append([]byte, any) ([]byte, error) { panic("boom") }
func (panicking) Decode([]byte, any) error           { panic("boom") }

func TestNotEncodable(t *testing.T) {
	t.Parallel()
	for _, typ := range handwritten() {
		o := sample()
		o.Any = make(chan int)
		if _, err := typ.Encode(o); !errors.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), "test.Order: the value can't be encoded") {
			t.Errorf("%s: %v", typ.CodecName(), err)
		}
	}
	_, err := wire.Proto[*wrapperspb.StringValue]().Encode(wrapperspb.String("\xff"))
	if !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("proto: %v", err)
	}
	if _, err = wire.NewType[int]("p", panicking{}).Encode(1); !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("panic: %v", err)
	}
}

func TestBadNamesPanic(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", strings.Repeat("x", 256), "\xff"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%.10q is taken for the name of a type", name)
				}
			}()
			wire.JSON[int](name)
		}()
	}
}

func TestCheckSize(t *testing.T) {
	t.Parallel()
	if err := wire.CheckSize("t", 10, 10); err != nil {
		t.Error(err)
	}
	err := wire.CheckSize("t", 11, 10)
	const want = "wire t: 11 bytes are more than the limit of 10: wire: the message is too large (INVALID_ARGUMENT); raise the limit, or send the data in parts"
	if !errors.Is(err, wire.ErrTooLarge) || fault.CodeOf(err) != fault.InvalidArgument || err.Error() != want {
		t.Errorf("error %q", err)
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	var r wire.Registry
	orders, lines, strs := wire.CBOR[order]("test.Order"), wire.JSON[*line]("test.Line"), wire.Proto[*wrapperspb.StringValue]()
	for range 2 { // again is no mistake
		if err := errors.Join(wire.Register(&r, orders), wire.Register(&r, lines), wire.Register(&r, strs)); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(r.Names()); got != "[google.protobuf.StringValue test.Line test.Order]" {
		t.Errorf("names %s", got)
	}
	for _, v := range []any{sample(), &line{"x", 1}, wrapperspb.String("x")} {
		m, err := r.Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Decode(m)
		if err != nil || reflect.TypeOf(got) != reflect.TypeOf(v) {
			t.Errorf("%T: got %T, %v", v, got, err)
		}
		text, err := r.JSON(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := r.FromJSON(m.Type, text)
		if err != nil || back.Type != m.Type || back.Codec != m.Codec {
			t.Errorf("%T: %s is read as %+v, %v", v, text, back, err)
		}
		if again, err := r.JSON(back); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%T: %s became %s, %v", v, text, again, err)
		}
	}
}

func TestRegistryErrors(t *testing.T) {
	t.Parallel()
	var r wire.Registry
	if err := wire.Register(&r, wire.CBOR[line]("test.Line")); err != nil {
		t.Fatal(err)
	}
	if err := wire.Register(&r, wire.Proto[*wrapperspb.StringValue]()); err != nil {
		t.Fatal(err)
	}
	_, unknown := r.Decode(wire.Message{Type: "test.line", Codec: "cbor", Data: []byte{1}})
	_, wrong := r.Decode(wire.Message{Type: "test.Line", Codec: "json", Data: []byte("{}")})
	_, foreign := r.Encode(order{})
	_, parsedUnknown := r.FromJSON("none", nil)
	_, field := r.FromJSON("test.Line", []byte(`{"Itm":1}`))
	_, two := r.FromJSON("test.Line", []byte(`{} }`))
	_, pbField := r.FromJSON("google.protobuf.StringValue", []byte(`{"x":1}`))
	_, shown := r.JSON(wire.Message{Type: "test.Line", Codec: "cbor"})
	for _, tt := range []struct {
		name string
		err  error
		code fault.Code
		want string
	}{
		{"unknown type", unknown, fault.Poison, `did you mean "test.Line"?`},
		{"unknown type, in words", unknown, fault.Poison, "register it with wire.Register"},
		{"another codec", wrong, fault.Poison, "another type"},
		{"unregistered Go type", foreign, fault.InvalidArgument, "wire_test.order: the Go type is not registered"},
		{"JSON of unknown type", parsedUnknown, fault.Poison, "not registered"},
		{"JSON with an unknown field", field, fault.InvalidArgument, `unknown field "Itm"`},
		{"JSON and more", two, fault.InvalidArgument, "expected one JSON value"},
		{"JSON of proto", pbField, fault.InvalidArgument, "google.protobuf.StringValue: the text is not of that type"},
		{"to JSON", shown, fault.Poison, "does not decode"},
		{"name taken", wire.Register(&r, wire.CBOR[order]("test.Line")), fault.AlreadyExists, "it is registered as test.Line in cbor as wire_test.line"},
		{"Go type taken", wire.Register(&r, wire.CBOR[line]("test.Row")), fault.AlreadyExists, "it is registered as test.Line"},
		{"another codec for it", wire.Register(&r, wire.JSON[line]("test.Line")), fault.AlreadyExists, "in cbor"},
	} {
		if fault.CodeOf(tt.err) != tt.code || !strings.Contains(fmt.Sprint(tt.err), tt.want) {
			t.Errorf("%s: error %v, want %v and %q", tt.name, tt.err, tt.code, tt.want)
		}
	}
	if !errors.Is(unknown, wire.ErrUnregistered) || !errors.Is(parsedUnknown, wire.ErrUnregistered) {
		t.Error("an unregistered type is not ErrUnregistered")
	}
}

func FuzzCBOR(f *testing.F)        { fuzzType(f, wire.CBOR[order]("o")) }
func FuzzMessagePack(f *testing.F) { fuzzType(f, wire.MessagePack[order]("o")) }
func FuzzJSON(f *testing.F)        { fuzzType(f, wire.JSON[order]("o")) }

// fuzzType checks that decoding ends with a value that encodes and decodes to
// itself, or with poison that has the bytes.
func fuzzType(f *testing.F, typ wire.Type[order]) {
	for _, o := range []order{{}, sample(), {Any: []any{1, "x", nil}}} {
		m, err := typ.Encode(o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Data)
		f.Add(m.Data[:len(m.Data)/2])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := typ.Decode(wire.Message{Type: "o", Codec: typ.CodecName(), Data: data})
		if err != nil {
			var poison *wire.PoisonError
			if !errors.As(err, &poison) || !bytes.Equal(poison.Message.Data, data) {
				t.Fatalf("error %v", err)
			}
			return
		}
		first, err := typ.Encode(o)
		if err != nil {
			return // a value that only the decoder can make, such as a map with keys that JSON has not
		}
		again, err := typ.Decode(first)
		if err != nil {
			t.Fatalf("%+v was encoded as %x, which does not decode: %v", o, first.Data, err)
		}
		if o.ID != again.ID || o.Name != again.Name || len(o.Lines) != len(again.Lines) {
			t.Fatalf("%+v came back as %+v", o, again)
		}
	})
}

func FuzzProto(f *testing.F) {
	typ := wire.Proto[*durationpb.Duration]()
	f.Add([]byte{8, 1, 16, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := typ.Decode(wire.Message{Type: typ.Name(), Codec: "proto", Data: data})
		if err != nil {
			return
		}
		m, err := typ.Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := typ.Decode(m); err != nil || !proto.Equal(d, again) {
			t.Fatalf("%v came back as %v, %v", d, again, err)
		}
	})
}
