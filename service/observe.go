package service

import (
	"context"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Report is what became of a call, for who counts and times them: it is made so
// that all of its strings can be labels of a metric. They come from the program
// alone, never from a request.
type Report struct {
	// Side says who reports.
	Side Side
	// Service and Method are what was called; empty where a request named
	// something that there is not, or could not be read.
	Service, Method string
	// Code is OK or the code of the error.
	Code fault.Code
	// FromApplication: the error is the answer of the application.
	FromApplication bool
	// Duration is from the first attempt to the last answer at a client, that of
	// the handler at a server.
	Duration time.Duration
	// Retries is how often a client repeated the call. At a server each attempt is
	// a report of its own, and Retries says how many came before.
	Retries int
}

// Side is one end of a call.
type Side uint8

// The sides.
const (
	ClientSide Side = iota
	ServerSide
)

// String is "client" or "server".
func (s Side) String() string {
	if s == ServerSide {
		return "server"
	}
	return "client"
}

// Status is "ok" or "error".
func (r Report) Status() string {
	if r.Code == fault.OK {
		return "ok"
	}
	return "error"
}

// ErrorType is "" for a call that went well, "APPLICATION" for an error that the
// application answered with, and the name of the code, such as "UNAVAILABLE", for
// a failure of the framework.
func (r Report) ErrorType() string {
	switch {
	case r.Code == fault.OK:
		return ""
	case r.FromApplication:
		return "APPLICATION"
	}
	return r.Code.String()
}

// Observe is an interceptor that reports each call when it has ended. It belongs
// outermost: at a client around [Retry], so that a call is one report. The
// function must be quick and safe for concurrent use; the context is that of the
// call.
//
// At a server it sees what reaches the implementation;
// [EndpointOptions.Refused] reports the rest.
func Observe(report func(ctx context.Context, r Report)) Interceptor {
	return func(next Handler) Handler {
		return func(ctx context.Context, c *Call) error {
			r := Report{Service: c.Method.Service, Method: c.Method.Name, Code: fault.Internal} // unless it returns
			if c.served {
				r.Side = ServerSide
			}
			start := time.Now()
			defer func() {
				r.Duration, r.Retries = time.Since(start), c.Retries
				report(ctx, r)
			}()
			err := next(ctx, c)
			r.Code, r.FromApplication = fault.CodeOf(err), err != nil && c.FromApplication
			return err
		}
	}
}
