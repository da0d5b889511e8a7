package workflow

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var exprSchema = MustSchema(
	Column{"b", KindBool}, Column{"i", KindInt}, Column{"f", KindFloat},
	Column{"s", KindString}, Column{"d", KindDate}, Column{"t", KindTime},
	Column{"temp_max", KindFloat}, Column{"nothing", KindNull},
)

var exprRow = Row{
	Bool(true), Int(7), Float(2.5), String("rain"),
	Date(time.Date(2012, 1, 31, 0, 0, 0, 0, time.UTC)), Time(time.Date(2012, 2, 29, 10, 30, 0, 0, time.UTC)),
	Null(), Null(),
}

// Req W1, W2: expressions over the columns of a row.
func TestExpr(t *testing.T) {
	t.Parallel()
	c := newCompiler([]Input{{Name: "year", Kind: KindInt, Value: Int(2012)}, {Name: "unset", Kind: KindInt}})
	for _, tc := range []struct {
		source string
		kind   Kind
		want   string // the value's text, or "null", or "error: …"
	}{
		{"i + 1", KindInt, "8"},
		{"f * 2.0 > double(i) - 3.0", KindBool, "true"},
		{"s == 'rain' && b", KindBool, "true"},
		{"b ? s : 'none'", KindString, "rain"},
		{"s.upperAscii() + string(i)", KindString, "RAIN7"},
		{"math.greatest(i, 9)", KindInt, "9"},
		{"i / (i - 7)", KindInt, "error: division by zero"},
		{"int(s)", KindInt, "error: type conversion error from 'string' to 'int'"},

		// Nulls are SQL's.
		{"temp_max", KindFloat, "null"},
		{"temp_max + 1.0", KindFloat, "null"},
		{"temp_max > 1.0", KindBool, "null"},
		{"temp_max > 1.0 && false", KindBool, "false"},
		{"false && temp_max > 1.0", KindBool, "false"},
		{"temp_max > 1.0 || b", KindBool, "true"},
		{"temp_max > 1.0 || !b", KindBool, "null"},
		{"!(temp_max > 1.0)", KindBool, "null"},
		{"temp_max == temp_max", KindBool, "null"},
		{"temp_max > 1.0 ? 1 : 2", KindInt, "null"},
		{"temp_max in [1.0, 2.0]", KindBool, "null"},
		{"string(temp_max)", KindString, "null"},
		{"nothing + 'x'", KindString, "null"},
		{"is_null(temp_max)", KindBool, "true"},
		{"is_null(f)", KindBool, "false"},
		{"is_null(temp_max + f)", KindBool, "true"},
		{"is_null(i / 0)", KindBool, "error: division by zero"},
		{"coalesce(temp_max, 0.5)", KindFloat, "0.5"},
		{"coalesce(temp_max, temp_max, f, 0.0)", KindFloat, "2.5"},
		{"coalesce(temp_max, temp_max)", KindFloat, "null"},
		{"null_if(i, 7)", KindInt, "null"},
		{"null_if(i, 8)", KindInt, "7"},

		{"d", KindDate, "2012-01-31"},
		{"d + 1", KindDate, "2012-02-01"},
		{"d - 31", KindDate, "2011-12-31"},
		{"d - date('2012-01-01')", KindInt, "30"},
		{"d < date(t)", KindBool, "true"},
		{"d >= date('2012-01-31')", KindBool, "true"},
		{"d == date('2012-01-31')", KindBool, "true"},
		{"d + 9223372036854775807", KindDate, "error: the date is outside of the years 1 to 9999"},
		{"date(s)", KindDate, `error: "rain" is not a date like 2012-01-31`},
		{"string(d)", KindString, "2012-01-31"},
		{"timestamp(d)", KindTime, "2012-01-31T00:00:00Z"},
		{"t + duration('1h')", KindTime, "2012-02-29T11:30:00Z"},
		{"[year(d), month(d), day(d), year(t), month(t), day(t)] == [2012, 1, 31, 2012, 2, 29]", KindBool, "true"},
		{"t.getHours()", KindInt, "10"},
		{"year(d) == inputs.year", KindBool, "true"},

		{"round(f, 0)", KindFloat, "3"},
		{"round(-2.5, 0)", KindFloat, "-3"},
		{"round(2.675, 2)", KindFloat, "2.68"},
		{"round(1.005, 2)", KindFloat, "1.01"},
		{"round(0.1 + 0.2, 10)", KindFloat, "0.3"},
		{"round(1e300, 2)", KindFloat, "1e+300"},
		{"round(f, 16)", KindFloat, "error: round takes from 0 to 15 digits, not 16"},
	} {
		p, mistakes := c.compile(Expr(tc.source), exprSchema)
		if len(mistakes) > 0 {
			t.Errorf("%s: %+v", tc.source, mistakes)
			continue
		}
		v, err := p.Eval(exprRow)
		got := v.String()
		if v.IsNull() {
			got = "null"
		}
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != tc.want || p.Kind() != tc.kind {
			t.Errorf("%s gives %s %s, want %s %s", tc.source, p.Kind(), got, tc.kind, tc.want)
		}
		if err == nil && !v.IsNull() && v.Kind() != p.Kind() {
			t.Errorf("%s gives a %s, promised %s", tc.source, v.Kind(), p.Kind())
		}
	}
}

// Req W1: a mistake in an expression is reported at its place, before a row is read.
func TestExprMistakes(t *testing.T) {
	t.Parallel()
	c := newCompiler([]Input{{Name: "year", Kind: KindInt, Value: Int(2012)}})
	for _, tc := range []struct{ source, want string }{
		{"f > 1.0 && tmep_max > 2.0", `11: unknown column "tmep_max"; did you mean "temp_max"?`},
		{"f > 1.0\n  && humidity > 2.0", `13: unknown column "humidity"; expected one of b, i, f, s, d, t, temp_max, nothing`},
		{"inputs.yaer == 1", `6: unknown input "inputs.yaer"; did you mean "inputs.year"?`},
		{"mnth(d)", `4: unknown function "mnth"; did you mean "month"?`},
		{"f + 1", `2: "+" cannot be applied to (double, int); int and double do not mix: write 1 as 1.0, or convert with double(x)`},
		{"f == null", `2: "==" cannot be applied to (double, null); is_null(x) tells whether x is null`},
		{"d > '2012-01-01'", `2: ">" cannot be applied to (date, string); write a date as date('2012-01-31')`},
		{"d == t", `2: "==" cannot be applied to (date, timestamp); convert with timestamp(date) or date(timestamp)`},
		{"b ? f : s", `2: "? :" cannot be applied to (bool, double, string)`},
		{"i = 1", `2: not an expression: unexpected "="; equality is ==`},
		{"i +", `3: not an expression: it ends too early`},
		{"i > 1 &&\n  (f", `13: not an expression: ')' is missing at the end`},
		{"i 1", `2: not an expression: unexpected "1"`},
		{"i && && b", `5: not an expression: unexpected "&&"`},
		{"b and b", `2: not an expression: unexpected "and"; and is written &&`},
		{"b && not b", `9: not an expression: unexpected "b"; not is written !`},
		{"i <> 1", `3: not an expression: unexpected ">"; inequality is !=`},
		{"s like 'x'", `2: not an expression: unexpected "like"; s.contains('x'), `},
		{"s == 'rain", `5: not an expression: the text that begins here is not closed; add ' at its end`},
		{"s == `rain`", "5: not an expression: unexpected \"`"},
		{"", "0: the expression is empty"},
		{"  ", "0: the expression is empty"},
		{"[f]", "0: the result is a list(double); expected bool, int, double, string, date or timestamp"},
		{"null", "0: the result is a null"},
		{"dyn(f)", "0: the result is a dyn"},
		{"'größe' == s && X", `18: unknown column "X"`},
		{strings.Repeat("(", 200) + "1" + strings.Repeat(")", 200), `0: not an expression: `},
		{strings.Repeat("1+", ExprMax) + "1", `0: `},
	} {
		_, mistakes := c.compile(Expr(tc.source), exprSchema)
		if len(mistakes) == 0 {
			t.Errorf("%s compiles", tc.source)
			continue
		}
		m := mistakes[0]
		got := fmt.Sprintf("%d: %s", m.offset, m.message)
		if m.hint != "" {
			got += "; " + m.hint
		}
		if !strings.HasPrefix(got, tc.want) {
			t.Errorf("%.60s: got %s\nwant %s", tc.source, got, tc.want)
		}
	}
}

func BenchmarkExpr(b *testing.B) {
	c := newCompiler(nil)
	p, mistakes := c.compile("f > 1.0 && s == 'rain'", exprSchema)
	if mistakes != nil {
		b.Fatal(mistakes)
	}
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := p.Matches(exprRow); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// Req S5: whatever the text, it compiles or there is a mistake within it; and
// what compiles gives what it promised, or an error.
func FuzzExpr(f *testing.F) {
	for _, source := range []string{
		"f > 1.0 && s == 'rain'", "d + 1", "coalesce(temp_max, 1.0)", "[1, 2].map(x, x * i)[0]", "s.split('')[0]",
		"has({'a': 1}.a)", "timestamp('x')", "duration('1h') + t", "b\"x\"", "r'\\x'", "i = 1", "\"\xff\"", "'\\u00e9' + s", "1u",
		"{'a': i}['b']", "math.bitShiftLeft(i, 70)", "s.substring(9)", "'%s'.format([d])", "type(d)", "d == null", "-9223372036854775808",
	} {
		f.Add(source)
	}
	c := newCompiler([]Input{{Name: "year", Kind: KindInt, Value: Int(2012)}})
	f.Fuzz(func(t *testing.T, source string) {
		p, mistakes := c.compile(Expr(source), exprSchema)
		for _, m := range mistakes {
			if m.message == "" || m.offset < 0 || m.offset > len(source) {
				t.Fatalf("%q: %+v", source, m)
			}
		}
		if len(mistakes) > 0 {
			return
		}
		if v, err := p.Eval(exprRow); err == nil && !v.IsNull() && v.Kind() != p.Kind() {
			t.Fatalf("%q gives a %s, promised %s", source, v.Kind(), p.Kind())
		}
	})
}
