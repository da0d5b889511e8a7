package transform

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/workflow"
)

// Req W2: rows are put together in batches, and none is lost.
func TestBatch(t *testing.T) {
	t.Parallel()
	schema := workflow.MustSchema(workflow.Column{Name: "n", Kind: workflow.KindInt})
	b, out := build(t, batchType, schema, "rows: 3\nnumber: batch")
	got := run(t, b, out, rowsOf(t, schema, "1", "2"), rowsOf(t, schema, "3", "4", "5", "6", "7"), rowsOf(t, schema, "8"))
	want := []string{"1 0", "2 0", "3 0", "4 1", "5 1", "6 1", "7 2", "8 2"}
	if !reflect.DeepEqual(got.rows, want) || out.String() != "n int, batch int" {
		t.Errorf("%q of %s", got.rows, out)
	}
	p, err := plan(batchType, schema, "rows: 3")
	if err != nil || p.BatchRows != 3 || !p.Schema.Equal(schema) {
		t.Errorf("%+v, %v", p, err)
	}
	for _, with := range []string{"rows: 0", "rows: 100001", "rows: 3\nnumber: n"} {
		if _, err := plan(batchType, schema, with); err == nil {
			t.Errorf("%s is taken", with)
		}
	}
}

// Rows can be made of computed columns alone.
func TestMapWithoutTheColumnsThatComeIn(t *testing.T) {
	t.Parallel()
	m, schema := build(t, mapType, weather, "keep: false\ncolumns: {wet: rain > 2.0, n: n + 1}")
	got := run(t, m, schema, rowsOf(t, weather, "2012-01-01 4 1 sun"))
	if !reflect.DeepEqual(got.rows, []string{"true 2"}) || schema.String() != "wet bool, n int" {
		t.Errorf("%q of %s", got.rows, schema)
	}
}

// Req W7: rows pass at a rate, after a pause so many at once.
func TestThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		schema := workflow.MustSchema(workflow.Column{Name: "n", Kind: workflow.KindInt})
		throttle, _ := build(t, throttleType, schema, "rows_per_second: 10\nburst: 5")
		began := time.Now()
		ten := rowsOf(t, schema, "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")
		for i, want := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond} {
			out, err := throttle.Apply(t.Context(), ten)
			if got := time.Since(began); err != nil || len(out.Batch.Rows) != 10 || got != want {
				t.Errorf("batch %d passes after %s; want %s; %v", i, got, want, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := throttle.Apply(ctx, ten); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it does not end with the run: %v", err)
		}
	})
}
