package weather_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/csv"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/actor/actortest"
	"github.com/troupe-dev/troupe/examples/weather"
	"github.com/troupe-dev/troupe/workflow"
	csvconnector "github.com/troupe-dev/troupe/workflow/connector/csv"
	sqlconnector "github.com/troupe-dev/troupe/workflow/connector/sql"
	"github.com/troupe-dev/troupe/workflow/transform"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

func registry() *workflow.Registry {
	r := workflow.NewRegistry()
	csvconnector.Register(r)
	sqlconnector.Register(r)
	transform.Register(r)
	return r
}

// run runs the example to its end and returns the directory with the results.
func run(t *testing.T, inputs map[string]string, definition func(workflow.LoadOptions) (*workflow.Definition, error)) (workflow.RunInfo, string) {
	t.Helper()
	d, err := definition(workflow.LoadOptions{Registry: registry(), Inputs: inputs})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "results")
	info, err := workflowtest.Run(t.Context(), d, workflow.EngineOptions{Registry: registry(), Files: weather.Files(), OutputDir: out})
	if err != nil {
		t.Fatal(err)
	}
	return info, out
}

func embedded(o workflow.LoadOptions) (*workflow.Definition, error) {
	return workflow.LoadFS(weather.Files(), weather.Definition, o)
}

func onDisk(o workflow.LoadOptions) (*workflow.Definition, error) {
	return workflow.LoadFile("weather.yaml", o)
}

// Req W1, W2
func TestRun(t *testing.T) {
	t.Parallel()
	actortest.NoLeaks(t)
	info, out := run(t, nil, embedded)

	var counts []string
	for _, n := range info.Nodes {
		counts = append(counts, fmt.Sprintf("%s: %d in, %d out, %d filtered, %d held, %d set aside", n.ID, n.RowsIn, n.RowsOut, n.Filtered, n.Held, n.Rejected))
	}
	want := []string{
		"seattle: 1461 in, 1461 out, 0 filtered, 0 held, 0 set aside",
		"late: 11 in, 6 out, 0 filtered, 0 held, 5 set aside",
		"plausible: 1467 in, 1465 out, 2 filtered, 0 held, 0 set aside",
		"derive: 1465 in, 1465 out, 0 filtered, 0 held, 0 set aside",
		"monthly: 1465 in, 49 out, 0 filtered, 1465 held, 0 set aside",
		"rounded: 49 in, 49 out, 0 filtered, 0 held, 0 set aside",
		"database: 49 in, 49 out, 0 filtered, 0 held, 0 set aside",
		"file: 49 in, 49 out, 0 filtered, 0 held, 0 set aside",
	}
	if !slices.Equal(counts, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(counts, "\n"), strings.Join(want, "\n"))
	}

	var rejects []string
	for _, r := range info.Rejects {
		rejects = append(rejects, fmt.Sprintf("%s:%d %s: %s: %s", r.File, r.Line, r.Column, r.Reason, r.Raw))
	}
	want = []string{
		`seattle-weather-late.csv:4 precipitation: "trace" is not a number: 2016-01-03,trace,5.0,0.6,1.9,drizzle`,
		`seattle-weather-late.csv:5 : the row has 5 fields; expected 6: 2016-01-04,5.6,7.2,1.1,3.9`,
		`seattle-weather-late.csv:6 : the row has 7 fields; expected 6: 2016-01-05,1,5,8.9,3.3,2.6,rain`,
		`seattle-weather-late.csv:7 date: "2016-01-32" is not a date like 2012-01-31: 2016-01-32,2.8,9.4,4.4,3.0,rain`,
		`seattle-weather-late.csv:10 precipitation: a quoted field is not closed before the end of the file: 2016-01-09,"2.3,6.7,2.2,1.5,rain`,
	}
	if !slices.Equal(rejects, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(rejects, "\n"), strings.Join(want, "\n"))
	}

	rejected := readCSV(t, os.DirFS(out), "rejects.csv")
	if len(rejected) != 5+1 || rejected[1][len(rejected[1])-1] != "2016-01-03,trace,5.0,0.6,1.9,drizzle" {
		t.Errorf("rejects.csv holds %q", rejected)
	}
}

// Both results equal what SQL makes of the raw files.
func TestResultEqualsSQL(t *testing.T) {
	t.Parallel()
	_, out := run(t, nil, onDisk)
	want := monthlyBySQL(t, "seattle-weather.csv", "seattle-weather-late.csv")
	if len(want) != 49 || want[0][0] != "2012-01" {
		t.Fatalf("the SQL gives %d months, the first %v", len(want), want[0])
	}

	file := readCSV(t, os.DirFS(out), "monthly.csv")
	header := strings.Join(file[0], ",")
	if header != "month,days,temp_min,temp_mean,temp_max,precipitation,wet_days,sunny_days,wind_mean" {
		t.Errorf("header = %s", header)
	}
	compare(t, "monthly.csv", file[1:], want)

	db, err := sql.Open("sqlite", filepath.Join(out, "weather.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	compare(t, "weather.db", query(t, db, "SELECT "+header+" FROM monthly_weather ORDER BY rowid"), want)
}

func TestInput(t *testing.T) {
	t.Parallel()
	info, out := run(t, map[string]string{"since": "2015-07-01"}, embedded)
	if n := info.Nodes[2]; n.ID != "plausible" || n.Filtered != 366+365+365+181+2 {
		t.Errorf("%s filtered %d rows", n.ID, n.Filtered)
	}
	if rows := readCSV(t, os.DirFS(out), "monthly.csv"); len(rows) != 1+6+1 || rows[1][0] != "2015-07" {
		t.Errorf("the result has %d rows, the first is %v", len(rows), rows[1])
	}
}

// monthlyBySQL computes the result without any part of the workflow: it splits
// the lines at commas, leaves out what has no numbers where they belong, and
// lets SQLite do the rest.
func monthlyBySQL(t *testing.T, names ...string) [][]string {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	exec := func(statement string, args ...any) {
		if _, err := db.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE raw (date TEXT, precipitation REAL, temp_max REAL, temp_min REAL, wind REAL, weather TEXT)")
	exec("BEGIN")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			fields := strings.Split(line, ",")
			if i == 0 || len(fields) != 6 {
				continue
			}
			row := []any{fields[0]}
			for _, f := range fields[1:5] {
				if x, err := strconv.ParseFloat(f, 64); err == nil {
					row = append(row, x)
				} else if f == "" {
					row = append(row, nil)
				}
			}
			if row = append(row, fields[5]); len(row) == 6 {
				exec("INSERT INTO raw VALUES (?, ?, ?, ?, ?, ?)", row...)
			}
		}
	}
	exec("COMMIT")
	return query(t, db, `
		SELECT strftime('%Y-%m', date), count(*), min(temp_min), avg((temp_max + temp_min) / 2), max(temp_max),
			sum(precipitation), sum(precipitation >= 1), sum(weather = 'sun'), avg(wind)
		FROM raw
		WHERE date(date) = date AND precipitation >= 0 AND temp_max >= temp_min
		GROUP BY 1 ORDER BY 1`)
}

func query(t *testing.T, db *sql.DB, statement string) [][]string {
	t.Helper()
	rows, err := db.Query(statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for rows.Next() {
		cells := make([]string, len(columns))
		into := make([]any, len(columns))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		all = append(all, cells)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func readCSV(t *testing.T, fsys fs.FS, name string) [][]string {
	t.Helper()
	file, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// units are what the columns' numbers are rounded to; 0 means they are not.
var units = []float64{0, 0, 0, 0.01, 0, 0.1, 0, 0, 0.01}

// compare compares the result with a table that is not rounded.
func compare(t *testing.T, name string, got, want [][]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s has %d rows, want %d", name, len(got), len(want))
		return
	}
	for i := range want {
		for c := range want[i] {
			x, errX := strconv.ParseFloat(got[i][c], 64)
			y, errY := strconv.ParseFloat(want[i][c], 64)
			same := got[i][c] == want[i][c]
			if errX == nil && errY == nil {
				same = math.Abs(x-y) <= units[c]/2+1e-9
			}
			if !same {
				t.Errorf("%s, row %d: %v, want %v", name, i+1, got[i], want[i])
				break
			}
		}
	}
}

// README.md promises that the data is the package's, byte for byte.
func TestDataIsUnchanged(t *testing.T) {
	t.Parallel()
	data, err := fs.ReadFile(weather.Files(), "seattle-weather.csv")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(data)); !strings.Contains(string(readme), sum) {
		t.Errorf("seattle-weather.csv has the SHA-256 %s, which README.md does not name", sum)
	}
}
