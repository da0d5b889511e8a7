package fault

import (
	"fmt"
	"strings"
)

// Code is the kind of a failure. It crosses the wire as its name or its
// number; neither ever changes its meaning.
//
// A Code is itself an error, so that errors.Is(err, fault.NotFound) asks
// whether an [Error] with that code is in err's chain. To get the code that a
// caller should act on, use [CodeOf].
type Code uint8

// The codes. The package documentation tells when each is used.
const (
	OK                 Code = 0
	Canceled           Code = 1
	Unknown            Code = 2
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Aborted            Code = 10
	OutOfRange         Code = 11
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
	DataLoss           Code = 15
	Unauthenticated    Code = 16

	// Poison is far from gRPC's numbers, so that new ones of theirs fit.
	Poison Code = 64
)

var codeNames = [...]string{
	OK:                 "OK",
	Canceled:           "CANCELED",
	Unknown:            "UNKNOWN",
	InvalidArgument:    "INVALID_ARGUMENT",
	DeadlineExceeded:   "DEADLINE_EXCEEDED",
	NotFound:           "NOT_FOUND",
	AlreadyExists:      "ALREADY_EXISTS",
	PermissionDenied:   "PERMISSION_DENIED",
	ResourceExhausted:  "RESOURCE_EXHAUSTED",
	FailedPrecondition: "FAILED_PRECONDITION",
	Aborted:            "ABORTED",
	OutOfRange:         "OUT_OF_RANGE",
	Unimplemented:      "UNIMPLEMENTED",
	Internal:           "INTERNAL",
	Unavailable:        "UNAVAILABLE",
	DataLoss:           "DATA_LOSS",
	Unauthenticated:    "UNAUTHENTICATED",
	Poison:             "POISON",
}

// Codes returns all codes in the order of their numbers.
func Codes() []Code {
	var all []Code
	for i, name := range codeNames {
		if name != "" {
			all = append(all, Code(i))
		}
	}
	return all
}

func (c Code) valid() bool { return int(c) < len(codeNames) && codeNames[c] != "" }

// String returns the code's name, such as "NOT_FOUND", and "CODE(200)" for a
// number that is not a code.
func (c Code) String() string {
	if !c.valid() {
		return fmt.Sprintf("CODE(%d)", uint8(c))
	}
	return codeNames[c]
}

// Error returns the code's name.
func (c Code) Error() string { return c.String() }

// Transient reports whether the same call may succeed later without anyone
// changing anything: UNAVAILABLE, DEADLINE_EXCEEDED and RESOURCE_EXHAUSTED.
// After DEADLINE_EXCEEDED the work may have been done, so only calls that can
// be repeated safely should be.
func (c Code) Transient() bool {
	return c == Unavailable || c == DeadlineExceeded || c == ResourceExhausted
}

// MarshalText returns the code's name. It fails for a number that is not a
// code.
func (c Code) MarshalText() ([]byte, error) {
	if !c.valid() {
		return nil, New(InvalidArgument, "fault.Code.MarshalText", "%d is not the number of a code", uint8(c))
	}
	return []byte(codeNames[c]), nil
}

// UnmarshalText accepts what [ParseCode] accepts.
func (c *Code) UnmarshalText(text []byte) error {
	parsed, err := ParseCode(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

// ParseCode returns the code of that name. Case does not matter, a hyphen
// stands for an underscore, and gRPC's spelling CANCELLED is understood. The
// error for any other name has the code INVALID_ARGUMENT and lists the names.
func ParseCode(name string) (Code, error) {
	canonical := strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	if canonical == "CANCELLED" {
		return Canceled, nil
	}
	if canonical != "" {
		for i, n := range codeNames {
			if n == canonical {
				return Code(i), nil
			}
		}
	}
	err := New(InvalidArgument, "fault.ParseCode", "%.64q is not the name of a code", name)
	err.Hint = "the names are " + strings.Join(names(), ", ")
	return Unknown, err
}

func names() []string {
	var all []string
	for _, c := range Codes() {
		all = append(all, c.String())
	}
	return all
}
