package store

import "time"

// A LeaseName is the name of a lease, such as "shard/17".
type LeaseName string

// An Epoch is a fencing token: it rises each time a lease changes hands and never
// falls. The first is 1.
type Epoch int64

// A Lease is a name held by an owner.
type Lease struct {
	Name  LeaseName
	Owner string    // empty when it was released
	Epoch Epoch     // of the present owner, or of the last
	Until time.Time // when it runs out, in milliseconds, by the engine's clock
}

// A Fence makes a batch depend on a lease: the batch is refused with
// [ErrStaleEpoch] unless Epoch is the one that the lease has, in the same
// transaction. Time plays no part: a lease that has run out is good until
// another takes it or it is released. The zero value is no fence.
type Fence struct {
	Lease LeaseName
	Epoch Epoch
	// Raise is for epochs that are granted elsewhere, by a cluster's control
	// plane: an epoch above the one that the store knows is recorded instead of
	// refused, and a name that the store does not know is accepted.
	Raise bool
}
