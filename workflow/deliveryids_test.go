package workflow

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// Req W3: what a delivery is known by is forgotten after a time, and not before;
// that of a trigger whose deliveries come again as long as they are there never is.
func TestDeliveriesAreForgotten(t *testing.T) {
	t.Parallel()
	inTimetable(t, func(t *testing.T, s *timetable) {
		ctx := context.Background()
		b := newBelt()
		kinds := testTriggers(b)
		kinds = append(kinds, TriggerType[knockConfig]{
			Name: "lasting", Doc: "Knocks again.", Plan: func(*Check, knockConfig) TriggerPlan {
				return TriggerPlan{ComesAgain: true, Accept: func(context.Context, *Delivery) error { return nil }}
			},
		})
		s.engine.options.Registry.AddTriggers(kinds...)
		lasting := knock("lasting")
		lasting.Kind = "lasting"
		for _, trigger := range []Trigger{knock("orders"), lasting} {
			if _, err := s.engine.PutTrigger(ctx, trigger, store.Absent); err != nil {
				t.Fatal(err)
			}
		}
		repeated := func(name, id string) bool {
			t.Helper()
			out, err := s.engine.Deliver(ctx, name, knocked(id, `{"order": 1, "customer": "c"}`))
			if err != nil {
				t.Fatal(err)
			}
			return out.Repeated
		}
		for i := range forgetPage + 5 { // more than a page
			if repeated("orders", fmt.Sprint("old", i)) {
				t.Fatal("repeated")
			}
		}
		repeated("lasting", "old")
		s.pass(DeliveriesKnownDefault - time.Hour)
		if !repeated("orders", "old0") || repeated("orders", "new") {
			t.Error("before the time is over the old one is not known, or the new one is")
		}
		s.pass(3 * time.Hour)
		key := requestPrefix + triggerTrigger + "orders/old1"
		if _, err := s.store.Entry(ctx, key); !errors.Is(err, store.ErrNoEntry) {
			t.Errorf("it is still there: %v", err)
		}
		if repeated("orders", "old0") || repeated("orders", fmt.Sprint("old", forgetPage+4)) {
			t.Error("old ones are still known")
		}
		if !repeated("orders", "new") || !repeated("lasting", "old") {
			t.Error("what is recent, or lasts, is not known any more")
		}
	})
}

// Req W3: ids of runs tell when these began.
func TestRunTime(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_790_000_000_123)
	if at, ok := runTime(newRunID(now)); !ok || !at.Equal(now) {
		t.Errorf("got %v, %v", at, ok)
	}
	for _, id := range []string{"", "x", "00000000-0000-4000-8000-000000000000"} {
		if at, ok := runTime(id); ok {
			t.Errorf("%q: %v", id, at)
		}
	}
}
