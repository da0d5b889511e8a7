package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/wire"
)

// A request and a response cross as one frame each, in the encoding of Protocol
// Buffers, so that fields may be added and are skipped by those who do not know
// them:
//
//	message Request {
//	  string target = 1;      // path of the actor
//	  string service = 2;
//	  string method = 3;
//	  string request_id = 4;
//	  string caller_id = 5;
//	  uint64 timeout_ns = 6;  // what is left of it: clocks differ, durations do not
//	  bytes  trace = 7;       // trace id 16, span id 8, flags 1
//	  uint64 retries = 8;
//	  Message message = 9;
//	}
//	message Response {
//	  Message message = 1;    // the answer, or:
//	  Error   error = 2;      // the application's error, or:
//	  bytes   fault = 3;      // the framework's, as JSON
//	}
//	message Message { string type = 1; string codec = 2; bytes data = 3; }
//	message Error { uint64 code = 1; string text = 2; bytes fault = 3; repeated Message part = 4; }

const (
	requestTarget protowire.Number = 1 + iota
	requestService
	requestMethod
	requestID
	requestCaller
	requestTimeout
	requestTrace
	requestRetries
	requestMessage
)

const (
	responseMessage protowire.Number = 1 + iota
	responseError
	responseFault
)

const (
	messageType protowire.Number = 1 + iota
	messageCodec
	messageData
)

// maxHeader is how many bytes a frame may have besides the data of its message.
const maxHeader = 64 << 10

// request is a call as it crosses.
type request struct {
	target, service, method string
	requestID, callerID     string
	timeout                 time.Duration
	trace                   actor.Trace
	retries                 int
	message                 wire.Message
}

func (r *request) append(dst []byte) []byte {
	dst = appendString(dst, requestTarget, r.target)
	dst = appendString(dst, requestService, r.service)
	dst = appendString(dst, requestMethod, r.method)
	dst = appendString(dst, requestID, r.requestID)
	dst = appendString(dst, requestCaller, r.callerID)
	dst = appendCount(dst, requestTimeout, int64(r.timeout))
	if !r.trace.IsZero() {
		dst = appendBytes(dst, requestTrace, append(append(append([]byte(nil), r.trace.ID[:]...), r.trace.Span[:]...), r.trace.Flags))
	}
	dst = appendCount(dst, requestRetries, int64(r.retries))
	return appendBytes(dst, requestMessage, appendMessage(nil, r.message))
}

func decodeRequest(data []byte) (*request, error) {
	r := &request{}
	err := eachField(data, func(num protowire.Number, n uint64, b []byte) (err error) {
		switch num {
		case requestTarget:
			r.target, err = text(b)
		case requestService:
			r.service, err = text(b)
		case requestMethod:
			r.method, err = text(b)
		case requestID:
			r.requestID, err = text(b)
		case requestCaller:
			r.callerID, err = text(b)
		case requestTimeout:
			r.timeout = time.Duration(min(n, math.MaxInt64))
		case requestTrace:
			if len(b) != 25 {
				return fmt.Errorf("a trace has 25 bytes, not %d", len(b))
			}
			copy(r.trace.ID[:], b)
			copy(r.trace.Span[:], b[16:])
			r.trace.Flags = b[24]
		case requestRetries:
			r.retries = int(min(n, math.MaxInt32))
		case requestMessage:
			r.message, err = decodeMessage(b)
		}
		return err
	})
	if err == nil && (r.target == "" || r.service == "" || r.method == "") {
		err = errors.New("it names no target, service or method")
	}
	return r, err
}

// responseFrame encodes what came of a call.
func responseFrame(m methodType, out outcome, known *ErrorTypes, limit int) []byte {
	var frame []byte
	var err error
	switch {
	case out.err == nil:
		var msg wire.Message
		if msg, err = m.encodeResponse(out.response); err == nil {
			if err = wire.CheckSize(msg.Type, len(msg.Data), limit); err == nil {
				frame = appendBytes(nil, responseMessage, appendMessage(nil, msg))
			}
		}
	case out.fromApplication:
		var body []byte
		if body, err = known.appendError(nil, out.err); err == nil {
			if err = wire.CheckSize("error", len(body), limit); err == nil {
				frame = appendBytes(nil, responseError, body)
			}
		}
	default:
		return faultFrame(out.err)
	}
	if err != nil {
		return faultFrame(unsendable(err))
	}
	return frame
}

// faultFrame encodes a failure of the framework.
func faultFrame(err error) []byte { return appendBytes(nil, responseFault, faultJSON(err)) }

func faultJSON(err error) []byte {
	f := *fault.From(err)
	if code := fault.CodeOf(err); f.Code != code {
		f = fault.Error{Code: code, Target: f.Target, RequestID: f.RequestID, CallerID: f.CallerID, Cause: err}
	}
	f.Message = shorten(f.Message)
	data, bad := json.Marshal(&f)
	if bad != nil || len(data) > maxHeader {
		data = fmt.Appendf(nil, `{"code":%q,"message":"the error is too long to be sent"}`, f.Code)
	}
	return data
}

// decodeResponse decodes what came of a call. The error is that of a frame which
// does not decode: the outcome is unknown then.
func decodeResponse(data []byte, m methodType, known *ErrorTypes) (out outcome, err error) {
	kinds := 0
	err = eachField(data, func(num protowire.Number, _ uint64, b []byte) error {
		switch num {
		case responseMessage:
			kinds++
			msg, err := decodeMessage(b)
			if err != nil {
				return err
			}
			out.response, err = m.decodeResponse(msg)
			return err
		case responseError:
			kinds++
			e, err := known.decodeError(b)
			out.err, out.fromApplication = e, true
			return err
		case responseFault:
			kinds++
			f := &fault.Error{}
			err := json.Unmarshal(b, f)
			out.err = f
			return err
		}
		return nil
	})
	if err == nil && kinds != 1 {
		err = fmt.Errorf("it has %d answers", kinds)
	}
	if err == nil {
		return out, nil
	}
	if fault.CodeOf(err) != fault.Poison {
		err = &wire.PoisonError{Message: wire.Message{Type: "troupe.Response", Codec: "proto", Data: data}, Cause: err}
	}
	return outcome{}, err
}

func appendMessage(dst []byte, m wire.Message) []byte {
	dst = appendString(dst, messageType, m.Type)
	dst = appendString(dst, messageCodec, m.Codec)
	return appendBytes(dst, messageData, m.Data)
}

func decodeMessage(data []byte) (m wire.Message, err error) {
	err = eachField(data, func(num protowire.Number, _ uint64, b []byte) (err error) {
		switch num {
		case messageType:
			m.Type, err = text(b)
		case messageCodec:
			m.Codec, err = text(b)
		case messageData:
			m.Data = b
		}
		return err
	})
	return m, err
}

func text(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", fmt.Errorf("%.40q is no UTF-8", b)
	}
	return string(b), nil
}

func appendBytes(dst []byte, num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(dst, num, protowire.BytesType), b)
}

func appendString(dst []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, num, protowire.BytesType), s)
}

func appendCount(dst []byte, num protowire.Number, n int64) []byte {
	if n <= 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), uint64(n))
}

// eachField calls f with the fields of a frame: n of the numbers, b of what has a
// length. Fields of other kinds are skipped: they are newer than this code.
func eachField(data []byte, f func(num protowire.Number, n uint64, b []byte) error) error {
	for len(data) > 0 {
		num, kind, size := protowire.ConsumeTag(data)
		if size < 0 {
			return protowire.ParseError(size)
		}
		data = data[size:]
		var n uint64
		var b []byte
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			b, size = protowire.ConsumeBytes(data)
		default:
			num, size = 0, protowire.ConsumeFieldValue(num, kind, data)
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		data = data[size:]
		if err := f(num, n, b); err != nil {
			return fmt.Errorf("field %d: %w", num, err)
		}
	}
	return nil
}
