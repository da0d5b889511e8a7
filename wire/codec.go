package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/proto"
)

// MaxDepth is how deep arrays and maps may lie in one another. Protocol Buffers
// have the limit of their own library, 10,000.
const MaxDepth = 128

// Codec is an encoding. The four of this package are made by [Proto], [CBOR],
// [MessagePack] and [JSON]; others can be given to [NewType]. It must be safe for
// concurrent use.
type Codec interface {
	// Name crosses the wire and must never change its meaning.
	Name() string
	// Append encodes v and appends it to dst. After an error the result is not used.
	Append(dst []byte, v any) ([]byte, error)
	// Decode decodes all of data into what v points to. It keeps nothing of data.
	Decode(data []byte, v any) error
}

type protoCodec struct{}

func (protoCodec) Name() string { return "proto" }

func (protoCodec) Append(dst []byte, v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return dst, fmt.Errorf("%T is no protocol buffer message", v)
	}
	return proto.MarshalOptions{}.MarshalAppend(dst, m)
}

func (protoCodec) Decode(data []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protocol buffer message", v)
	}
	return proto.Unmarshal(data, m)
}

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Append(dst []byte, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

func (jsonCodec) Decode(data []byte, v any) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// checkJSON looks at the depth only; encoding/json allows 10,000.
func checkJSON(data []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return errTooDeep
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}

var errTooDeep = fmt.Errorf("arrays and maps lie more than %d deep in one another", MaxDepth)

// cborModes are the two halves of the codec. Times keep their fractions and zone,
// a map with a key twice is refused, and as the library first checks that the
// data holds all the elements it announces, their number needs no limit.
var cborModes = sync.OnceValue(func() (m struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}) {
	var err1, err2 error
	m.enc, err1 = cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.UserBufferEncMode()
	m.dec, err2 = cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: MaxDepth,
		MaxArrayElements: 1<<31 - 1, MaxMapPairs: 1<<31 - 1,
	}.DecMode()
	if err := errors.Join(err1, err2); err != nil {
		panic("wire: the options of the CBOR library: " + err.Error())
	}
	return m
})

type cborCodec struct{}

func (cborCodec) Name() string { return "cbor" }

func (cborCodec) Append(dst []byte, v any) ([]byte, error) {
	buf := cborBuffers.Get().(*bytes.Buffer) //nolint:forcetypeassert // it has nothing else
	*buf = *bytes.NewBuffer(dst)
	err := cborModes().enc.MarshalToBuffer(v, buf)
	dst = buf.Bytes()
	*buf = bytes.Buffer{}
	cborBuffers.Put(buf)
	return dst, err
}

// cborBuffers are buffers without memory of their own.
var cborBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (cborCodec) Decode(data []byte, v any) error { return cborModes().dec.Unmarshal(data, v) }

type msgpackCodec struct{}

func (msgpackCodec) Name() string { return "msgpack" }

func (msgpackCodec) Append(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	enc := msgpack.GetEncoder()
	defer msgpack.PutEncoder(enc)
	enc.Reset(buf)
	enc.UseCompactInts(true)
	err := enc.Encode(v)
	return buf.Bytes(), err
}

func (msgpackCodec) Decode(data []byte, v any) error {
	if err := checkMsgpack(data); err != nil {
		return err
	}
	return msgpack.Unmarshal(data, v)
}
