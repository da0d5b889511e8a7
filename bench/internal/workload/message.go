package workload

// Kind is what a message asks for.
type Kind uint32

// The kinds.
const (
	Count  Kind = iota // count it
	Crash              // panic
	Probe              // report that the actor lives again
	Answer             // reply
)

// Msg is the message of every workload, 24 bytes: what, from whom, the how
// manieth, and where a reply goes for the systems that have no reply of their
// own.
type Msg struct {
	Kind  Kind
	From  uint32
	N     uint64
	Reply chan uint64
}

// cacheLines separates what different goroutines write: two lines of 64 bytes,
// because the hardware fetches them in pairs.
const cacheLines = 128
