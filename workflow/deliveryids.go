package workflow

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// What a delivery is known by is kept with the run that it started. It is forgotten
// after a time, or the ids of a busy trigger would fill the store.

// DeliveriesKnownDefault is how long it is known that a delivery came before where
// [EngineOptions] say nothing.
const DeliveriesKnownDefault = 30 * 24 * time.Hour

const (
	// forgetEvery is how often ids are looked through, forgetPage how many at a time.
	forgetEvery = time.Hour
	forgetPage  = 1000
)

// forgetDeliveries forgets the ids of deliveries that came too long ago.
func (e *Engine) forgetDeliveries(ctx context.Context, now time.Time) (forgotten int, err error) {
	if e.options.DeliveriesKnown < 0 {
		return 0, nil
	}
	before := now.Add(-e.options.DeliveriesKnown)
	filter := store.EntryFilter{Prefix: requestPrefix + triggerTrigger, Limit: forgetPage}
	for {
		entries, err := e.store.Entries(ctx, filter)
		if err != nil || len(entries) == 0 {
			return forgotten, err
		}
		var sets []store.Set
		for _, entry := range entries {
			name, _, _ := strings.Cut(strings.TrimPrefix(entry.Key, filter.Prefix), "/")
			if t := e.triggers.get(name); t != nil && t.plan.ComesAgain {
				continue
			}
			if at, ok := runTime(string(entry.Value)); ok && at.Before(before) {
				sets = append(sets, store.Set{Key: entry.Key, Expected: entry.Version, Delete: true})
			}
		}
		if len(sets) > 0 {
			if _, err := e.store.Commit(ctx, &store.Batch{Fence: e.fence, Sets: sets}); err != nil {
				return forgotten, err
			}
			forgotten += len(sets)
		}
		filter.After = entries[len(entries)-1].Key
	}
}

// runTime is when a run was started, by its id.
func runTime(id string) (time.Time, bool) {
	raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(raw) != 16 || raw[6]>>4 != 7 {
		return time.Time{}, false
	}
	var millis int64
	for _, b := range raw[:6] {
		millis = millis<<8 | int64(b)
	}
	return time.UnixMilli(millis), true
}
