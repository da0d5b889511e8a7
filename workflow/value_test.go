package workflow

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"
)

func TestValueTextRoundTrip(t *testing.T) {
	t.Parallel()
	day := time.Date(2012, 1, 31, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		value Value
		text  string
		json  string
	}{
		{Bool(true), "true", "true"},
		{Bool(false), "false", "false"},
		{Int(-12), "-12", "-12"},
		{Int(math.MinInt64), "-9223372036854775808", "-9223372036854775808"},
		{Float(0.1), "0.1", "0.1"},
		{Float(math.Copysign(0, -1)), "0", "0"},
		{Float(math.Inf(1)), "+Inf", `"+Inf"`},
		{Float(math.NaN()), "NaN", `"NaN"`},
		{String("a,\"b\""), "a,\"b\"", `"a,\"b\""`},
		{Date(day), "2012-01-31", `"2012-01-31"`},
		{Date(time.Date(1812, 2, 29, 23, 0, 0, 0, time.UTC)), "1812-02-29", `"1812-02-29"`},
		{Time(day.Add(time.Nanosecond)), "2012-01-31T00:00:00.000000001Z", `"2012-01-31T00:00:00.000000001Z"`},
		{Time(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)), "9999-12-31T23:59:59.999999999Z", `"9999-12-31T23:59:59.999999999Z"`},
	} {
		if got := tc.value.String(); got != tc.text {
			t.Errorf("String() = %q, want %q", got, tc.text)
		}
		back, err := ParseValue(tc.value.Kind(), tc.text)
		if err != nil || back != tc.value {
			t.Errorf("ParseValue(%s, %q) = %v, %v; want %v", tc.value.Kind(), tc.text, back, err, tc.value)
		}
		encoded, err := json.Marshal(tc.value)
		if err != nil || string(encoded) != tc.json {
			t.Errorf("JSON of %q = %s, %v; want %s", tc.text, encoded, err, tc.json)
		}
	}
}

func TestDateTakesTheDayOfItsLocation(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("east", 10*3600)
	if got := Date(time.Date(2012, 1, 31, 1, 0, 0, 0, zone)).String(); got != "2012-01-31" {
		t.Errorf("got %s, want the day in the time's own zone", got)
	}
}

func TestParseValueErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind Kind
		text string
		want string
	}{
		{KindBool, "maybe", `"maybe" is not true or false`},
		{KindInt, "1.5", `"1.5" is not an integer`},
		{KindInt, "9223372036854775808", `"9223372036854775808" is not an integer of 64 bits`},
		{KindFloat, "1e999", `"1e999" is not a number of 64 bits`},
		{KindFloat, "", `"" is not a number`},
		{KindFloat, "0x1p3", `"0x1p3" is not a number`},
		{KindFloat, "1_000", `"1_000" is not a number`},
		{KindDate, "2012-02-30", `"2012-02-30" is not a date like 2012-01-31`},
		{KindTime, "noon", `"noon" is not a time like 2012-01-31T10:00:00Z`},
		{KindNull, "x", "a null value has no text form"},
	} {
		_, err := ParseValue(tc.kind, tc.text)
		if err == nil || err.Error() != tc.want {
			t.Errorf("ParseValue(%s, %q): %v; want %s", tc.kind, tc.text, err, tc.want)
		}
	}
}

func TestValueCompareIsATotalOrder(t *testing.T) {
	t.Parallel()
	sorted := []Value{
		Null(), Bool(false), Bool(true),
		Float(math.NaN()), Float(math.Inf(-1)), Int(math.MinInt64), Int(-1), Float(-0.5), Int(0),
		Float(0.5), Int(1), Int(1<<53 + 1), Float(1<<53 + 2), Int(math.MaxInt64), Float(1 << 63), Float(math.Inf(1)),
		String(""), String("a"), String("b"),
		Date(time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC)), Date(time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)),
		Time(time.Unix(-1, 5)), Time(time.Unix(0, 0)), Time(time.Unix(0, 1)),
	}
	for i, v := range sorted {
		for j, w := range sorted {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := v.Compare(w); got != want {
				t.Errorf("%s %v compared with %s %v = %d, want %d", v.Kind(), v, w.Kind(), w, got, want)
			}
		}
	}
	if Int(1).Compare(Float(1)) != 0 {
		t.Error("1 and 1.0 differ in order")
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	s, err := NewSchema(Column{"date", KindDate}, Column{"temp", KindFloat})
	if err != nil {
		t.Fatal(err)
	}
	if i, ok := s.Index("temp"); !ok || i != 1 {
		t.Errorf("Index(temp) = %d, %t", i, ok)
	}
	if _, ok := s.Index("Temp"); ok {
		t.Error("names match without regard to case")
	}
	if got := s.String(); got != "date date, temp float" {
		t.Errorf("String() = %q", got)
	}
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Schema
	if err := json.Unmarshal(encoded, &back); err != nil || !back.Equal(s) {
		t.Errorf("%s reads back as %v, %v", encoded, back, err)
	}
	for _, bad := range [][]Column{{{"", KindInt}}, {{"a", KindInt}, {"a", KindFloat}}} {
		if _, err := NewSchema(bad...); err == nil {
			t.Errorf("NewSchema(%v) succeeds", bad)
		}
	}
}

func TestNewRowsDoNotRunIntoEachOther(t *testing.T) {
	t.Parallel()
	rows := NewRows(2, 2)
	longer := append(rows[0], Int(7))
	if !rows[1][0].IsNull() || !slices.Equal(longer, Row{Null(), Null(), Int(7)}) {
		t.Errorf("rows share cells: %v %v", rows, longer)
	}
}

func TestBatchReject(t *testing.T) {
	t.Parallel()
	b := Batch{
		Schema: MustSchema(Column{"a", KindInt}, Column{"b", KindString}),
		Rows:   []Row{{Int(1), Null()}, {Int(2), String("x")}},
		File:   "in.csv",
		Lines:  []int{2, 5},
	}
	want := Reject{File: "in.csv", Line: 5, Column: "a", Reason: "too large", Raw: "2,x"}
	if got := b.Reject(1, "a", "too large"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
