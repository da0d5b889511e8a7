package workflow

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Req W3: whatever stands in a schedule's JSON, it is refused with an error that
// says why, or it is a schedule that is the same after it was stored, and whose
// instants increase.
func FuzzSchedule(f *testing.F) {
	for _, text := range []string{
		`{"name": "s", "workflow": "w", "cron": "*/5 * * * *", "time_zone": "Europe/Berlin", "inputs": {"day": "${{ schedule.date }}"}}`,
		`{"name": "s", "workflow": "w", "every": "90s", "jitter": "10s", "start": "2026-01-01T00:00:00+01:00", "end": "2027-01-01T00:00:00Z"}`,
		`{"name": "s", "workflow": "w", "delay": "1h30m", "overlap": "queue", "queue_max": 7, "catch_up": "24h"}`,
		`{"name": "s", "workflow": "w", "at": "2026-03-29T02:30:00.123456789Z", "paused": true, "comment": "why"}`,
		`{"name": "", "every": "-1s"}`, `{"every": 5}`, `{"cron": "@every"}`, `{"at": "9999-12-31T23:59:59Z", "name": "x", "workflow": "y"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Schedule
		if json.Unmarshal(text, &s) != nil {
			return
		}
		p, err := planSchedule(s)
		if err != nil {
			if fault.CodeOf(err) != fault.InvalidArgument || err.Error() == "" {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		stored, err := json.Marshal(p.Schedule)
		if err != nil {
			t.Fatal(err)
		}
		var again Schedule
		if err := json.Unmarshal(stored, &again); err != nil {
			t.Fatalf("%s: %v", stored, err)
		}
		q, err := planSchedule(again)
		if err != nil || !reflect.DeepEqual(p.Schedule, q.Schedule) {
			t.Fatalf("%+v is %+v after it was stored, %v", p.Schedule, q.Schedule, err)
		}
		created := time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)
		state := &scheduleState{Created: created, After: created}
		for range 5 {
			instant := p.next(state)
			if instant.IsZero() {
				return
			}
			if !instant.After(state.After) || p.due(instant).Before(instant) || p.due(instant).Sub(instant) > time.Duration(p.Jitter) {
				t.Fatalf("%s: %v after %v, due at %v", stored, instant, state.After, p.due(instant))
			}
			state.After = instant
		}
	})
}
