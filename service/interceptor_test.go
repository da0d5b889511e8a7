package service_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/breaker"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/service"
	shop "github.com/troupe-dev/troupe/service/internal/shopv1"
	"github.com/troupe-dev/troupe/service/servicetest"
)

// Req F2, F11: a retry repeats what the framework could not do, where that is
// allowed, with the same request id.
func TestRetry(t *testing.T) {
	t.Parallel()
	var ids []string
	var answer error
	run(t, func(s *setup, _ *servicetest.Options) {
		own := func(ctx context.Context) error {
			c, _ := service.CallFrom(ctx)
			ids = append(ids, c.RequestID)
			return answer
		}
		s.impl.place = func(ctx context.Context, _ *shop.PlaceRequest) (*shop.PlaceResponse, error) {
			return &shop.PlaceResponse{}, own(ctx)
		}
		s.impl.get = func(ctx context.Context, _ *shop.GetRequest) (*shop.GetResponse, error) {
			return &shop.GetResponse{}, own(ctx)
		}
	}, func(t *testing.T, s *setup) {
		c := s.remote(service.Intercept(service.Retry(retry.Policy{})))
		answer = fault.New(fault.Unavailable, "shop", "closed on Sundays") // the application's, transient or not
		if _, err := c.Place(t.Context(), &shop.PlaceRequest{}); fault.CodeOf(err) != fault.Unavailable || len(ids) != 1 {
			t.Errorf("%d calls: %v", len(ids), err)
		}
		answer = nil
		s.link.Cut()
		_, err := c.Get(t.Context(), &shop.GetRequest{}) // not idempotent
		if f := wantFault(t, err, fault.Unavailable); f.RetryCount != 0 {
			t.Error(f)
		}
		start := time.Now()
		_, err = c.Place(t.Context(), &shop.PlaceRequest{})
		if f := wantFault(t, err, fault.Unavailable); f.RetryCount != 3 || time.Since(start) != 7*time.Second {
			t.Errorf("%v after %v, %d retries", f, time.Since(start), f.RetryCount)
		}
		s.link.Restore()
		if _, err = c.Place(service.WithRequestID(t.Context(), "r"), &shop.PlaceRequest{}); err != nil {
			t.Error(err)
		}
		if ids[len(ids)-1] != "r" {
			t.Errorf("request ids %v", ids)
		}
	})
}

// Req F12: a breaker in front of a client opens, and stops the retry around it.
func TestBreak(t *testing.T) {
	t.Parallel()
	run(t, func(s *setup, _ *servicetest.Options) {
		s.impl.place = func(context.Context, *shop.PlaceRequest) (*shop.PlaceResponse, error) {
			return nil, fault.Unavailable // an answer
		}
	}, func(t *testing.T, s *setup) {
		group, err := breaker.NewGroup(breaker.Config{}, 0)
		if err != nil {
			t.Fatal(err)
		}
		c := s.remote(service.Intercept(service.Retry(retry.Policy{Max: 100, Cap: time.Millisecond}), service.Break(group)))
		for range 20 {
			if _, err := c.Place(t.Context(), &shop.PlaceRequest{}); !errors.Is(err, fault.Unavailable) {
				t.Fatal(err)
			}
		}
		if i := group.Get("/orders").Info(); i.State != breaker.Closed || i.Failures != 0 {
			t.Errorf("an application's errors are failures: %+v", i)
		}
		s.link.Cut()
		_, err = c.Place(t.Context(), &shop.PlaceRequest{})
		f := wantFault(t, err, fault.Unavailable)
		if !errors.Is(err, breaker.ErrOpen) || f.RetryCount != 20 {
			t.Errorf("%v with %d retries, want one for each of 20 failures", err, f.RetryCount)
		}
	})
}
