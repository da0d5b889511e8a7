package wire

import (
	"fmt"

	"github.com/troupe-dev/troupe/fault"
)

// Sentinels of this package, matched with errors.Is.
var (
	// ErrTooLarge: a message is above a limit. Code INVALID_ARGUMENT.
	ErrTooLarge = fault.New(fault.InvalidArgument, "wire", "the message is too large")
	// ErrWrongType: a message is not of the type it was taken for. Code POISON.
	ErrWrongType = fault.New(fault.Poison, "wire.Decode", "the message is of another type")
	// ErrUnregistered: nobody registered the type. Code POISON.
	ErrUnregistered = fault.New(fault.Poison, "wire.Registry", "the type is not registered")
)

// DefaultMaxMessage is how many bytes an encoded message may have where nothing
// else is said: 4 MiB.
const DefaultMaxMessage = 4 << 20

// CheckSize returns an error that matches [ErrTooLarge] if a message of the type
// is larger than the limit, in bytes; nil otherwise.
func CheckSize(typeName string, size, limit int) error {
	if size <= limit {
		return nil
	}
	return &fault.Error{
		Code: fault.InvalidArgument, Op: "wire", Target: typeName,
		Message: fmt.Sprintf("%d bytes are more than the limit of %d", size, limit),
		Hint:    "raise the limit, or send the data in parts",
		Cause:   ErrTooLarge,
	}
}

// PoisonError is a message that does not decode, with all that is needed to look
// into it. Its code is POISON: repeating won't help.
type PoisonError struct {
	// Message is what did not decode, with the raw bytes. The bytes are those
	// that were given to the decoder.
	Message Message
	// Cause is what the decoder said.
	Cause error
}

func poisoned(m Message, cause error) error { return &PoisonError{m, cause} }

// Error does not print the bytes.
func (e *PoisonError) Error() string {
	return fmt.Sprintf("wire.Decode: a message of type %.300q in %.50q with %d bytes does not decode: %v", e.Message.Type, e.Message.Codec, len(e.Message.Data), e.Cause)
}

// Unwrap gives what the decoder said.
func (e *PoisonError) Unwrap() error { return e.Cause }

// FaultCode is POISON.
func (e *PoisonError) FaultCode() fault.Code { return fault.Poison }

func notEncoded(name string, cause error) error {
	return &fault.Error{Code: fault.InvalidArgument, Op: "wire.Encode", Target: name, Message: "the value can't be encoded", Cause: cause}
}
