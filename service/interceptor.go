package service

import (
	"context"

	"github.com/troupe-dev/troupe/breaker"
	"github.com/troupe-dev/troupe/retry"
)

// Handler performs a call. With a nil error Call.Response is the answer.
type Handler func(ctx context.Context, c *Call) error

// Interceptor puts something around calls: at a client around the way to the
// actor, at a server around the implementation. It is called once, when the
// client or the service is made, and returns the handler that takes next's place.
// The handler may be called from several goroutines at once.
//
//	func timing(next service.Handler) service.Handler {
//		return func(ctx context.Context, c *service.Call) error {
//			start := time.Now()
//			err := next(ctx, c)
//			observe(c.Method.FullName(), fault.CodeOf(err), time.Since(start))
//			return err
//		}
//	}
type Interceptor func(next Handler) Handler

// chain puts the interceptors around a handler, the first outermost.
func chain(interceptors []Interceptor, innermost Handler) Handler {
	h := innermost
	for i := len(interceptors) - 1; i >= 0; i-- {
		h = interceptors[i](h)
	}
	return h
}

// Retry is a client's interceptor that repeats failed calls as the policy says,
// with the same request id. It repeats only what may be: methods that are
// Idempotent or Durable, and failures of the framework. What the application
// answered is an answer and is never repeated, whatever its code.
func Retry(p retry.Policy) Interceptor {
	return func(next Handler) Handler {
		return func(ctx context.Context, c *Call) error {
			if !c.Method.Idempotent && !c.Method.Durable {
				return next(ctx, c)
			}
			var answered error
			attempts := 0
			err := retry.Do(ctx, p, func(ctx context.Context) error {
				if attempts++; attempts > 1 {
					c.Retries++
				}
				err := next(ctx, c)
				if err != nil && c.FromApplication {
					answered, err = err, nil
				}
				return err
			})
			if err == nil {
				return answered
			}
			return err
		}
	}
}

// Break is a client's interceptor that stops calling a target whose calls fail,
// see package breaker. An answer of the application is a success, whatever its
// code. Inside [Retry] it counts each attempt and ends the retries when it opens.
func Break(g *breaker.Group) Interceptor {
	return func(next Handler) Handler {
		return func(ctx context.Context, c *Call) error {
			c.FromApplication = false // of an earlier attempt
			var answered error
			err := g.Get(c.Target).Do(ctx, func(ctx context.Context) error {
				err := next(ctx, c)
				if err != nil && c.FromApplication {
					answered, err = err, nil
				}
				return err
			})
			if err == nil {
				return answered
			}
			return err
		}
	}
}
