package durable

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/store"
)

// fence is the right of a host to write, shared by its entities.
type fence struct {
	store store.Leases
	name  store.LeaseName // "": given, or none
	owner string
	ttl   time.Duration

	mu      chan struct{} // a lock that a context can end the wait for
	lease   store.Lease   // Epoch 0: not held
	given   store.Fence
	renewed time.Time
}

func newFence(s store.Leases, name store.LeaseName, given store.Fence, owner string, ttl time.Duration) *fence {
	return &fence{store: s, name: name, given: given, owner: owner, ttl: ttl, mu: make(chan struct{}, 1)}
}

// current returns the fence to commit under, and acquires the lease if need be.
func (f *fence) current(ctx context.Context) (store.Fence, error) {
	if f.name == "" {
		return f.given, nil
	}
	select {
	case f.mu <- struct{}{}:
		defer func() { <-f.mu }()
	case <-ctx.Done():
		return store.Fence{}, ctx.Err()
	}
	if f.lease.Epoch == 0 {
		l, err := f.store.Acquire(ctx, f.name, f.owner, f.ttl)
		if err != nil {
			return store.Fence{}, err
		}
		f.lease, f.renewed = l, time.Now()
	}
	return store.Fence{Lease: f.name, Epoch: f.lease.Epoch}, nil
}

// keep renews the lease if a third of its time has passed. A host that does
// nothing need not hold it: whoever takes it fences this one off.
func (f *fence) keep(ctx context.Context) {
	if f.name == "" {
		return
	}
	select {
	case f.mu <- struct{}{}:
		defer func() { <-f.mu }()
	default:
		return // somebody does it
	}
	if f.lease.Epoch == 0 || time.Since(f.renewed) < f.ttl/3 {
		return
	}
	f.renewed = time.Now()
	if l, err := f.store.Renew(ctx, f.lease, f.ttl); err == nil {
		f.lease = l
	}
}

// lost notes that an epoch is stale.
func (f *fence) lost(old store.Fence) {
	f.mu <- struct{}{}
	defer func() { <-f.mu }()
	if f.lease.Epoch == old.Epoch {
		f.lease = store.Lease{}
	}
}

// release gives the lease up, so that another need not wait for its end.
func (f *fence) release(ctx context.Context) {
	f.mu <- struct{}{}
	defer func() { <-f.mu }()
	if f.lease.Epoch == 0 {
		return
	}
	_ = f.store.Release(ctx, f.lease) // it runs out otherwise
	f.lease = store.Lease{}
}
