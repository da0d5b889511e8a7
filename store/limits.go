package store

import "time"

// BlobThreshold is the size in bytes above which engines keep a payload apart
// from its row: scans of a queue or stream then do not drag it along.
const BlobThreshold = 4096

// Limits are the sizes that an engine accepts. A zero field means its default.
// What exceeds one is [ErrTooLarge] with a text that names the limit.
type Limits struct {
	PayloadBytes  int           // Data of an event, message, snapshot, letter; default 8 MiB, at most 512 MiB
	MetaBytes     int           // Meta of each, Value of an entry, error text of a letter; default 64 KiB
	NameBytes     int           // names, keys, ids, types; default 512, at most 4096
	BatchBytes    int           // all payloads of a batch together; default 32 MiB
	BatchItems    int           // changes in a batch; default 10,000
	QueueMessages int64         // messages in one queue, or [ErrQueueFull]; default 1,000,000
	DedupMax      time.Duration // how long a request id can be remembered; default 7 days
}

// WithDefaults returns l with its zero fields replaced by their defaults.
func (l Limits) WithDefaults() Limits {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&l.PayloadBytes, 8<<20)
	set(&l.MetaBytes, 64<<10)
	set(&l.NameBytes, 512)
	set(&l.BatchBytes, 32<<20)
	set(&l.BatchItems, 10_000)
	if l.QueueMessages == 0 {
		l.QueueMessages = 1_000_000
	}
	if l.DedupMax == 0 {
		l.DedupMax = 7 * 24 * time.Hour
	}
	return l
}

// Limits of requests, the same for all engines.
const (
	pageDefault = 100
	pageMax     = 10_000
	holdDefault = 30 * time.Second
	holdMax     = 24 * time.Hour
	ttlMax      = 24 * time.Hour
	delayMax    = 366 * 24 * time.Hour
)

// ReasonBytes is how much of the reason of a [Nack] is kept with the message.
const ReasonBytes = 1024
