// Package breaker is a circuit breaker: it stops calling a target that fails, so
// that callers get an answer at once and the target gets time to recover.
//
//	b, err := breaker.New(breaker.Config{Target: "/orders"})
//	err = b.Do(ctx, func(ctx context.Context) error { return call(ctx) })
//	if errors.Is(err, breaker.ErrOpen) { … } // was not even tried
//
// # States
//
//	          share of failures ≥ Ratio              OpenFor is over
//	closed ───────────────────────────────▶ open ─────────────────────▶ half-open
//	   ▲                                      ▲      a probe fails          │  │
//	   │                                      └────────────────────────────┘  │
//	   └──────────────────────────────────────────────────────────────────────┘
//	                          Probes calls have succeeded
//
// Closed, every call is made and its outcome goes into a sliding window: the last
// [Config.Window] calls that ended, none of them older than [Config.MaxAge].
// Counting calls makes a busy caller notice within a few dozen of them; the age
// keeps yesterday's failures of a quiet caller out. Open, no call is made. There
// is no timer: the first call after OpenFor is the first probe.
//
// # What counts
//
// By default an outcome is a failure of the target if its [fault.CodeOf] is
// transient or INTERNAL. The caller's own cancellation says nothing about the
// target and is not counted. Anything else, an application's own error as well,
// shows that the target answers, and counts as a success.
//
// # With a retry
//
// [OpenError] stops a retry by package retry at once. Put the breaker inside the
// retry, so that each attempt is counted:
//
//	retry.Do(ctx, policy, func(ctx context.Context) error { return b.Do(ctx, call) })
package breaker
