package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

// The names and numbers are on the wire and in other people's alerts: this
// table may grow, nothing in it may change. Req F1
var codes = []struct {
	code      fault.Code
	number    uint8
	name      string
	transient bool
}{
	{fault.OK, 0, "OK", false},
	{fault.Canceled, 1, "CANCELED", false},
	{fault.Unknown, 2, "UNKNOWN", false},
	{fault.InvalidArgument, 3, "INVALID_ARGUMENT", false},
	{fault.DeadlineExceeded, 4, "DEADLINE_EXCEEDED", true},
	{fault.NotFound, 5, "NOT_FOUND", false},
	{fault.AlreadyExists, 6, "ALREADY_EXISTS", false},
	{fault.PermissionDenied, 7, "PERMISSION_DENIED", false},
	{fault.ResourceExhausted, 8, "RESOURCE_EXHAUSTED", true},
	{fault.FailedPrecondition, 9, "FAILED_PRECONDITION", false},
	{fault.Aborted, 10, "ABORTED", false},
	{fault.OutOfRange, 11, "OUT_OF_RANGE", false},
	{fault.Unimplemented, 12, "UNIMPLEMENTED", false},
	{fault.Internal, 13, "INTERNAL", false},
	{fault.Unavailable, 14, "UNAVAILABLE", true},
	{fault.DataLoss, 15, "DATA_LOSS", false},
	{fault.Unauthenticated, 16, "UNAUTHENTICATED", false},
	{fault.Poison, 64, "POISON", false},
}

func TestCodes(t *testing.T) {
	t.Parallel()
	all := fault.Codes()
	if len(all) != len(codes) {
		t.Fatalf("Codes() has %d codes, the table %d", len(all), len(codes))
	}
	for i, tt := range codes {
		if all[i] != tt.code {
			t.Errorf("Codes()[%d] = %v, want %v", i, all[i], tt.code)
		}
		if uint8(tt.code) != tt.number {
			t.Errorf("%v has number %d, want %d", tt.code, tt.code, tt.number)
		}
		if got := tt.code.String(); got != tt.name {
			t.Errorf("String() = %q, want %q", got, tt.name)
		}
		if got := tt.code.Error(); got != tt.name {
			t.Errorf("Error() = %q, want %q", got, tt.name)
		}
		if got := tt.code.Transient(); got != tt.transient {
			t.Errorf("%v.Transient() = %v, want %v", tt.code, got, tt.transient)
		}
		text, err := json.Marshal(tt.code)
		if err != nil || string(text) != `"`+tt.name+`"` {
			t.Errorf("json.Marshal(%v) = %s, %v", tt.code, text, err)
		}
		var back fault.Code
		if err := json.Unmarshal(text, &back); err != nil || back != tt.code {
			t.Errorf("json.Unmarshal(%s) = %v, %v", text, back, err)
		}
	}
}

func TestCodeOutsideTheTable(t *testing.T) {
	t.Parallel()
	c := fault.Code(200)
	if got := c.String(); got != "CODE(200)" {
		t.Errorf("String() = %q", got)
	}
	if c.Transient() {
		t.Error("a number that is not a code is transient")
	}
	if _, err := c.MarshalText(); !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("MarshalText() error = %v, want INVALID_ARGUMENT", err)
	}
	if got := fault.CodeOf(c); got != fault.Unknown {
		t.Errorf("CodeOf(%v) = %v, want UNKNOWN", c, got)
	}
}

func TestParseCode(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"NOT_FOUND", "not_found", "Not-Found"} {
		if c, err := fault.ParseCode(name); err != nil || c != fault.NotFound {
			t.Errorf("ParseCode(%q) = %v, %v", name, c, err)
		}
	}
	if c, err := fault.ParseCode("CANCELLED"); err != nil || c != fault.Canceled {
		t.Errorf(`ParseCode("CANCELLED") = %v, %v`, c, err)
	}
	for _, name := range []string{"", " ", "NOTFOUND", "5", "CODE(200)", strings.Repeat("x", 1<<16)} {
		c, err := fault.ParseCode(name)
		if c != fault.Unknown || !errors.Is(err, fault.InvalidArgument) {
			t.Errorf("ParseCode(%.20q) = %v, %v; want UNKNOWN and INVALID_ARGUMENT", name, c, err)
			continue
		}
		if text := err.Error(); !strings.Contains(text, "NOT_FOUND") || len(text) > 600 {
			t.Errorf("ParseCode(%.20q): the error should list the names in a line of bounded length: %.800s", name, text)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	for _, tt := range codes {
		f.Add(tt.name)
	}
	f.Add("cancelled")
	f.Add("not-found")
	f.Add("")
	f.Fuzz(func(t *testing.T, name string) {
		c, err := fault.ParseCode(name)
		if err != nil {
			return
		}
		if again, err := fault.ParseCode(c.String()); err != nil || again != c {
			t.Fatalf("ParseCode(%q) = %v, which does not parse: %v, %v", name, c, again, err)
		}
	})
}

func ExampleCode_Transient() {
	for _, c := range []fault.Code{fault.Unavailable, fault.NotFound} {
		fmt.Println(c, c.Transient())
	}
	// Output:
	// UNAVAILABLE true
	// NOT_FOUND false
}
