package sqlite

import (
	"sync/atomic"
	"time"
)

// Stats are figures since the store was opened.
type Stats struct {
	Batches  int64         // that were taken, and not only refused as a whole
	Groups   int64         // transactions of batches
	Records  int64         // events, messages, acknowledgements and the like
	SyncTime time.Duration // spent in committing, fsync included
	SyncMax  time.Duration // the longest of them
	Folds    int64         // of the journal into the tables
	Damaged  int64         // messages that were found damaged and set aside
	Pending  int           // bytes of journal that are not folded
}

// counters are what Stats is made of.
type counters struct {
	batches, groups, records, folds, damaged atomic.Int64
	syncTime, syncMax                        atomic.Int64
}

func (c *counters) committed(batches, records int) {
	c.batches.Add(int64(batches))
	c.groups.Add(1)
	c.records.Add(int64(records))
}

// synced is called by the writer only.
func (c *counters) synced(d time.Duration) {
	c.syncTime.Add(int64(d))
	if int64(d) > c.syncMax.Load() {
		c.syncMax.Store(int64(d))
	}
}

// Stats returns the figures. They are read one by one, while the store works.
func (s *Store) Stats() Stats {
	s.mem.mu.RLock()
	pending := s.mem.bytes
	s.mem.mu.RUnlock()
	return Stats{
		Batches: s.stats.batches.Load(), Groups: s.stats.groups.Load(), Records: s.stats.records.Load(),
		SyncTime: time.Duration(s.stats.syncTime.Load()), SyncMax: time.Duration(s.stats.syncMax.Load()),
		Folds: s.stats.folds.Load(), Damaged: s.stats.damaged.Load(), Pending: pending,
	}
}
