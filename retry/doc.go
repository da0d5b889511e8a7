// Package retry calls a function again while its failures are transient, with
// a growing delay and a bound.
//
//	err := retry.Do(ctx, retry.Policy{}, func(ctx context.Context) error {
//		return client.Send(ctx, order)
//	})
//
// The zero [Policy] makes up to three retries after 1 s, 2 s and 4 s. Nothing
// in Troupe retries an application's call by itself: whoever calls [Do] opts
// in, and knows that the call may be repeated.
//
// # What is retried
//
// By default errors with a transient code of package fault. An error that is
// marked by [Permanent], or says so by [Stopper] as that of an open circuit
// breaker does, ends the retries at once. An error that implements
// [RetryAfter] delays the next attempt.
//
// Supervisors use [Policy.Delay] alone to space restarts.
package retry
