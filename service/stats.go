package service

import "sync/atomic"

// Stats are the figures of one service since it was spawned.
type Stats struct {
	// Calls is how many calls were handed to the implementation.
	Calls uint64
	// ApplicationErrors is how many of them it answered with an error.
	ApplicationErrors uint64
	// Failures is how many calls failed in the framework at the callee: requests
	// that do not decode, unknown methods, panics.
	Failures uint64
	// Panics is how many handlers panicked.
	Panics uint64
	// Runaways is how many handlers run now although their context ended more
	// than a second ago. Each holds up its worker.
	Runaways int
	// RunawaysTotal is how many did so.
	RunawaysTotal uint64
	// MailboxFailures is how many durable calls failed because the mailbox's store
	// did. Each is an alarm.
	MailboxFailures uint64
}

type counters struct {
	calls, applicationErrors, failures, panics, runawaysTotal, mailboxFailures atomic.Uint64

	runaways atomic.Int64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Calls: c.calls.Load(), ApplicationErrors: c.applicationErrors.Load(), Failures: c.failures.Load(),
		Panics: c.panics.Load(), Runaways: int(c.runaways.Load()), RunawaysTotal: c.runawaysTotal.Load(),
		MailboxFailures: c.mailboxFailures.Load(),
	}
}
