package measure

import (
	"runtime"
	"time"
)

// Cost is what a stretch of the program took: wall time, and the heap objects
// and bytes allocated by every goroutine of the process meanwhile.
type Cost struct {
	Elapsed time.Duration
	Allocs  uint64
	Bytes   uint64
}

// Meter measures one stretch. Use [Start] to get one.
type Meter struct {
	began         time.Time
	allocs, bytes uint64
}

// Start begins a measurement. It stops the world for an instant.
func Start() Meter {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Meter{began: time.Now(), allocs: m.Mallocs, bytes: m.TotalAlloc}
}

// Stop ends the measurement. The clock is read first, so the cost of reading
// memory statistics is not part of Elapsed.
func (m Meter) Stop() Cost {
	elapsed := time.Since(m.began)
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return Cost{Elapsed: elapsed, Allocs: now.Mallocs - m.allocs, Bytes: now.TotalAlloc - m.bytes}
}

// Footprint is the memory held by live heap objects and by goroutine stacks, in
// bytes, once it stands still: it collects garbage until two readings in a row
// agree to 0.1 % with the same number of goroutines, or until limit has passed.
func Footprint(limit time.Duration) uint64 {
	const pause = 20 * time.Millisecond
	var last uint64
	lastGoroutines := -1
	for end := time.Now().Add(limit); ; {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		now, goroutines := m.HeapAlloc+m.StackInuse, runtime.NumGoroutine()
		drift := max(now, last) - min(now, last)
		if goroutines == lastGoroutines && drift*1000 <= now || time.Now().After(end) {
			return now
		}
		last, lastGoroutines = now, goroutines
		time.Sleep(pause)
	}
}
