package transform

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// Req W2
func TestAggregate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		with   string
		rows   []string // nil: days
		want   []string
		reject string
	}{
		{
			name: "by a column, nulls as in SQL",
			with: `
by: [sky]
columns:
  rows: count
  rains: {count: rain}
  mm: {sum: rain}
  mean: {avg: rain}
  n_mean: {avg: n}
  least: {min: rain}
  most: {max: rain}
`,
			want: []string{
				"- 1 0 - - 4 - -",
				"fog 1 1 4 4 5 4 4",
				"rain 2 2 4 2 1.5 1.5 2.5",
				"sun 1 1 0 0 1 0 0",
			},
		},
		{
			name: "by expressions",
			with: `
by: {year: year(day), month: month(day)}
columns: {n: {sum: n + 1}}
`,
			want: []string{"2012 1 3", "2012 2 9", "2013 1 6"},
		},
		{
			name: "one group",
			with: `columns: {first: {min: day}, last: {max: day}, skies: {count_distinct: sky}, wet: {count_if: rain > 1.0}, sky: {first: sky}, late: {last: sky}}`,
			want: []string{"2012-01-01 2013-01-01 3 3 sun fog"},
		},
		{
			name: "one group without rows",
			with: `columns: {rows: count, skies: {count_distinct: sky}, mm: {sum: rain}, n: {avg: n}, sky: {first: sky}}`,
			rows: []string{},
			want: []string{"0 0 - - -"},
		},
		{
			name: "no groups without rows",
			with: "by: [sky]\ncolumns: {rows: count}",
			rows: []string{},
		},
		{
			name:   "a row with a failing expression counts for nothing",
			with:   "by: [sky]\ncolumns: {rows: count, x: {sum: 10 / n}}",
			want:   []string{"- 1 2", "fog 1 2", "rain 1 3", "sun 1 10"},
			reject: "in.csv:3 x [2012-01-02,2.5,0,rain] division by zero",
		},
		{
			name: "only nulls",
			with: `columns: {rows: count, mm: {sum: rain}, least: {min: rain}, sky: {last: sky}, skies: {count_distinct: sky}}`,
			rows: []string{"2012-01-01 - - -", "- - - -"},
			want: []string{"2 - - - 0"},
		},
		{
			name: "large integers do not pass through floats",
			with: `columns: {n: {sum: n}, mean: {avg: n}}`,
			rows: []string{"- 0 9223372036854775807 a", "- 0 -9223372036854775807 a", "- 0 9007199254740993 a"},
			want: []string{"9007199254740993 3.002399751580331e+15"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, schema := build(t, aggregateType, weather, tt.with)
			in := days(t)
			if tt.rows != nil {
				in = rowsOf(t, weather, tt.rows...)
			}
			got := run(t, a, schema, in)
			if !slices.Equal(got.rows, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got.rows, "\n"), strings.Join(tt.want, "\n"))
			}
			if rejects := strings.Join(got.rejects, "\n"); rejects != tt.reject {
				t.Errorf("rejects = %s, want %s", rejects, tt.reject)
			}
		})
	}
}

// A bare column name takes a way around the expression; its value is the same.
func TestOperands(t *testing.T) {
	t.Parallel()
	schema := workflow.MustSchema(
		workflow.Column{Name: "n", Kind: workflow.KindInt},
		workflow.Column{Name: "true", Kind: workflow.KindInt},
		workflow.Column{Name: "a b", Kind: workflow.KindInt},
	)
	a, out := build(t, aggregateType, schema, "by: {k: ' n '}\ncolumns: {bare: {sum: n}, computed: {sum: n + 0}, literal: {count_if: 'true'}}")
	got := run(t, a, out, rowsOf(t, schema, "3 1 1", "3 1 1", "- 1 1"))
	if want := []string{"- - - 1", "3 6 6 2"}; !slices.Equal(got.rows, want) {
		t.Errorf("got %q, want %q", got.rows, want)
	}
}

func TestAggregateBounds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		with string
		want string
	}{
		{"by: [day]\ncolumns: {n: count}\nmax_groups: 4", "there are more than 4 groups"},
		{"columns: {n: {count_distinct: day}}\nmax_distinct: 4", "there are more than 4 distinct values"},
	}
	for _, tt := range tests {
		a, _ := build(t, aggregateType, weather, tt.with)
		_, err := a.Apply(t.Context(), days(t))
		if fault.CodeOf(err) != fault.FailedPrecondition || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.with, err)
		}
	}
	for _, with := range []string{"by: [day]\ncolumns: {n: count}\nmax_groups: 5", "columns: {n: {count_distinct: day}}\nmax_distinct: 5"} {
		a, _ := build(t, aggregateType, weather, with)
		if _, err := a.Apply(t.Context(), days(t)); err != nil {
			t.Errorf("%s: %v", with, err)
		}
	}
}

func TestAggregateSumOverflow(t *testing.T) {
	t.Parallel()
	a, _ := build(t, aggregateType, weather, "by: [sky]\ncolumns: {total: {sum: n}, mean: {avg: n}}")
	if _, err := a.Apply(t.Context(), rowsOf(t, weather, "- 0 9223372036854775807 a", "- 0 2 a")); err != nil {
		t.Fatal(err)
	}
	_, err := a.Flush(t.Context())
	want := `sum of the column "total" in the group sky=a: the sum of 2 integers, about 9.223e+18, does not fit into 64 bits; sum double(…) instead`
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Whatever the order of rows and however they are batched, an aggregate gives
// what a naive computation over all rows gives.
func TestAggregateEqualsReference(t *testing.T) {
	t.Parallel()
	const with = `
by: [sky, n]
columns:
  rows: count
  rains: {count: rain}
  kinds: {count_distinct: rain}
  mm: {sum: rain}
  mean: {avg: rain}
  least: {min: day}
  most: {max: rain}
`
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		rows := make([]workflow.Row, rnd.IntN(400))
		for i := range rows {
			rows[i] = randomRow(rnd)
		}
		want := reference(rows)
		rnd.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		var batches []workflow.Batch
		for len(rows) > 0 {
			n := 1 + rnd.IntN(len(rows))
			batches = append(batches, workflow.Batch{Schema: weather, Rows: rows[:n]})
			rows = rows[n:]
		}
		a, schema := build(t, aggregateType, weather, with)
		if got := run(t, a, schema, batches...).rows; !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func randomRow(rnd *rand.Rand) workflow.Row {
	row := workflow.Row{
		workflow.Date(weatherDay.AddDate(0, 0, rnd.IntN(1000))),
		workflow.Float(float64(rnd.IntN(50)) / 10),
		workflow.Int(int64(rnd.IntN(3))),
		workflow.String([]string{"sun", "rain", "fog", ""}[rnd.IntN(4)]),
	}
	for i := range row {
		if rnd.IntN(10) == 0 {
			row[i] = workflow.Null()
		}
	}
	return row
}

// reference computes the aggregates of TestAggregateEqualsReference with sorted
// slices and decimal arithmetic: rain has one decimal.
func reference(rows []workflow.Row) []string {
	type key struct{ sky, n workflow.Value }
	groups := map[key][]workflow.Row{}
	for _, row := range rows {
		k := key{sky: row[3], n: row[2]}
		groups[k] = append(groups[k], row)
	}
	var keys []key
	for k := range groups {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		if c := a.sky.Compare(b.sky); c != 0 {
			return c
		}
		return a.n.Compare(b.n)
	})
	var lines []string
	for _, k := range keys {
		var rains, dates []workflow.Value
		tenths := 0
		for _, row := range groups[k] {
			if !row[1].IsNull() {
				rains = append(rains, row[1])
				tenths += int(math.Round(row[1].Float() * 10))
			}
			if !row[0].IsNull() {
				dates = append(dates, row[0])
			}
		}
		slices.SortFunc(rains, workflow.Value.Compare)
		slices.SortFunc(dates, workflow.Value.Compare)
		line := workflow.Row{k.sky, k.n, workflow.Int(int64(len(groups[k]))), workflow.Int(int64(len(rains))),
			workflow.Int(int64(len(slices.Compact(slices.Clone(rains))))), {}, {}, {}, {}}
		if len(rains) > 0 {
			exact := exactly(rains)
			if math.Abs(exact-float64(tenths)/10) > 1e-9 {
				panic(fmt.Sprint("the reference is wrong: ", exact, tenths))
			}
			line[5], line[6], line[8] = workflow.Float(exact), workflow.Float(exact/float64(len(rains))), rains[len(rains)-1]
		}
		if len(dates) > 0 {
			line[7] = dates[0]
		}
		lines = append(lines, show(line))
	}
	return lines
}

var weatherDay = time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC)

// exactly adds floats in arbitrary precision.
func exactly(values []workflow.Value) float64 {
	sum := new(big.Float).SetPrec(2000)
	for _, v := range values {
		sum.Add(sum, big.NewFloat(v.Float()))
	}
	f, _ := sum.Float64()
	return f
}

// Different keys never fall into one group.
func TestKeysAreInjective(t *testing.T) {
	t.Parallel()
	values := []workflow.Value{
		{}, workflow.Bool(false), workflow.Bool(true), workflow.Int(0), workflow.Int(1), workflow.Int(-1), workflow.Float(0), workflow.Float(1),
		workflow.Float(math.NaN()), workflow.String(""), workflow.String("\x00"), workflow.String("a"), workflow.String("ab"), workflow.String("b"),
		workflow.Date(weatherDay), workflow.Time(weatherDay), workflow.Time(weatherDay.Add(1)),
	}
	seen := map[string][2]int{}
	for i, v := range values {
		for j, w := range values {
			code := string(appendKey(appendKey(nil, v), w))
			if other, taken := seen[code]; taken {
				t.Errorf("(%v, %v) and (%v, %v) have one key", v, w, values[other[0]], values[other[1]])
			}
			seen[code] = [2]int{i, j}
		}
	}
}
