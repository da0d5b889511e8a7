package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/breaker"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/retry"
)

var (
	errDown = fault.New(fault.Unavailable, "test.Call", "down")
	errOwn  = errors.New("no such customer")
)

func answer(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func newBreaker(t *testing.T, cfg breaker.Config) *breaker.Breaker {
	t.Helper()
	b, err := breaker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// call makes n calls that end with err and fails if any is not made.
func call(t *testing.T, b *breaker.Breaker, n int, err error) {
	t.Helper()
	for range n {
		if got := b.Do(t.Context(), answer(err)); !errors.Is(got, err) || err == nil && got != nil {
			t.Fatalf("the call ended with %v, want %v", got, err)
		}
	}
}

func wantState(t *testing.T, b *breaker.Breaker, want breaker.State) {
	t.Helper()
	if got := b.Info().State; got != want {
		t.Fatalf("the breaker is %v, want %v", got, want)
	}
}

// Req F12: 50 % failures over at least 10 calls, 30 s open, few probes.
func TestDefaults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []breaker.Change
		b := newBreaker(t, breaker.Config{Target: "/orders", OnChange: func(c breaker.Change) { changes = append(changes, c) }})
		start := time.Now()
		call(t, b, 5, nil)
		call(t, b, 4, errDown)
		wantState(t, b, breaker.Closed)
		call(t, b, 1, errDown)
		wantState(t, b, breaker.Open)

		time.Sleep(18 * time.Second)
		err := b.Do(t.Context(), func(context.Context) error { t.Error("called while open"); return nil })
		var open *breaker.OpenError
		if !errors.As(err, &open) || open.ProbeIn != 12*time.Second || !open.ProbeAt.Equal(start.Add(30*time.Second)) {
			t.Errorf("error %#v, want an OpenError with the next probe in 12s", err)
		}
		time.Sleep(12 * time.Second)
		call(t, b, 1, nil)
		wantState(t, b, breaker.HalfOpen)
		call(t, b, 1, errDown)
		wantState(t, b, breaker.Open)
		time.Sleep(30 * time.Second)
		call(t, b, 2, nil)
		wantState(t, b, breaker.HalfOpen)
		call(t, b, 1, nil)
		wantState(t, b, breaker.Closed)

		at := func(d time.Duration) time.Time { return start.Add(d) }
		want := []breaker.Change{
			{Target: "/orders", From: breaker.Closed, To: breaker.Open, At: at(0), Calls: 10, Failures: 5, Cause: errDown},
			{Target: "/orders", From: breaker.Open, To: breaker.HalfOpen, At: at(30 * time.Second)},
			{Target: "/orders", From: breaker.HalfOpen, To: breaker.Open, At: at(30 * time.Second), Cause: errDown},
			{Target: "/orders", From: breaker.Open, To: breaker.HalfOpen, At: at(60 * time.Second)},
			{Target: "/orders", From: breaker.HalfOpen, To: breaker.Closed, At: at(60 * time.Second)},
		}
		if !slices.Equal(changes, want) {
			t.Errorf("changes\n%v\nwant\n%v", changes, want)
		}
		if i := b.Info(); i.Opened != 2 || i.Rejected != 1 || i.Calls != 0 || !strings.Contains(i.LastErr, "down") {
			t.Errorf("info %+v", i)
		}
	})
}

// Req F12: its error is distinguishable and stops a retry at once.
func TestOpenError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Target: "/orders"})
		call(t, b, 10, errDown)
		attempts := 0
		err := retry.Do(t.Context(), retry.Policy{Retryable: func(error) bool { return true }}, func(ctx context.Context) error {
			attempts++
			return b.Do(ctx, answer(nil))
		})
		if !errors.Is(err, breaker.ErrOpen) || attempts != 1 {
			t.Errorf("%d attempts, error %v; want one and ErrOpen", attempts, err)
		}
		if fault.CodeOf(err) != fault.Unavailable || errors.Is(err, errDown) {
			t.Errorf("code %v; the earlier failure is in the chain: %v", fault.CodeOf(err), errors.Is(err, errDown))
		}
		if f := fault.From(err); f.Target != "/orders" || f.Code != fault.Unavailable { // Req F13
			t.Errorf("fault %#v", f)
		}
		const want = "after 1 attempt: breaker /orders: the circuit is open, next probe in 30s (UNAVAILABLE); last failure: test.Call: down (UNAVAILABLE)"
		if err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	})
}

// A retry around a breaker counts each attempt.
func TestRetryOpensBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{MinCalls: 2})
		attempts := 0
		err := retry.Do(t.Context(), retry.Policy{}, func(ctx context.Context) error {
			attempts++
			return b.Do(ctx, answer(errDown))
		})
		if !errors.Is(err, breaker.ErrOpen) || attempts != 3 {
			t.Errorf("%d attempts, %v", attempts, err)
		}
	})
}

// Req F2: an application's own error is an answer.
func TestWhatCounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want breaker.Verdict
	}{
		{nil, breaker.Success},
		{errOwn, breaker.Success},
		{fault.NotFound, breaker.Success},
		{fault.InvalidArgument, breaker.Success},
		{fault.Unavailable, breaker.Failure},
		{fault.ResourceExhausted, breaker.Failure},
		{fault.Internal, breaker.Failure},
		{context.DeadlineExceeded, breaker.Failure},
		{context.Canceled, breaker.Neither},
	} {
		if got := breaker.Judge(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
	b := newBreaker(t, breaker.Config{})
	call(t, b, 200, errOwn)
	call(t, b, 50, context.Canceled)
	wantState(t, b, breaker.Closed)
	own := newBreaker(t, breaker.Config{Judge: func(err error) breaker.Verdict {
		if err != nil {
			return breaker.Failure
		}
		return breaker.Success
	}})
	call(t, own, 10, errOwn)
	wantState(t, own, breaker.Open)
}

func TestOldOutcomesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		for range 30 {
			call(t, b, 1, errDown)
			time.Sleep(7 * time.Second) // 9 of them within a minute
		}
		wantState(t, b, breaker.Closed)
		time.Sleep(time.Minute)
		if i := b.Info(); i.Calls != 0 || i.Failures != 0 {
			t.Errorf("info %+v", i)
		}
	})
}

func TestProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		call(t, b, 10, errDown)
		time.Sleep(30 * time.Second)
		const callers = 50
		var probes, refused []error
		var mu sync.Mutex
		for range callers {
			go func() {
				err := b.Do(t.Context(), func(context.Context) error { time.Sleep(time.Second); return nil })
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, breaker.ErrOpen) {
					refused = append(refused, err)
				} else {
					probes = append(probes, err)
				}
			}()
		}
		synctest.Wait()
		if len(refused) != callers-3 || !strings.Contains(fmt.Sprint(refused[0]), "half-open and all its probes are on their way") {
			t.Errorf("%d refused: %v", len(refused), refused)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(probes) != 3 {
			t.Errorf("%d probes, want 3", len(probes))
		}
		wantState(t, b, breaker.Closed)
	})
}

// A probe that never ends gives way after its timeout, and its late success
// does not count.
func TestLostProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Probes: 1})
		call(t, b, 10, errDown)
		time.Sleep(30 * time.Second)
		lost, err := b.Allow()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute - 1)
		if _, err := b.Allow(); !errors.Is(err, breaker.ErrOpen) {
			t.Fatal("a second probe beside the first")
		}
		wantState(t, b, breaker.HalfOpen)
		time.Sleep(time.Nanosecond)
		if _, err := b.Allow(); !errors.Is(err, breaker.ErrOpen) {
			t.Fatal("a call although the probe timed out")
		}
		wantState(t, b, breaker.Open)
		lost.Done(nil)
		wantState(t, b, breaker.Open)
		time.Sleep(30 * time.Second)
		call(t, b, 1, nil)
		wantState(t, b, breaker.Closed)
	})
}

func TestPanicCounts(t *testing.T) {
	t.Parallel()
	b := newBreaker(t, breaker.Config{})
	for range 10 {
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic did not go on")
				}
			}()
			_ = b.Do(t.Context(), func(context.Context) error { panic("boom") })
		}()
	}
	wantState(t, b, breaker.Open)
}

func TestEndedContextIsNotCalled(t *testing.T) {
	t.Parallel()
	b := newBreaker(t, breaker.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.Do(ctx, func(context.Context) error { t.Error("called"); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// The hook sees changes in order although they happen at once, and may use the
// breaker; one that panics does not silence the next.
func TestHook(t *testing.T) {
	t.Parallel()
	var b *breaker.Breaker
	var changes []breaker.Change
	b = newBreaker(t, breaker.Config{MinCalls: 1, OpenFor: 1, Probes: 1, OnChange: func(c breaker.Change) {
		_ = b.Info()
		changes = append(changes, c) // never twice at once, which -race checks
	}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 2000 {
				_ = b.Do(t.Context(), answer([]error{nil, errDown}[(i+j)%2]))
			}
		})
	}
	wg.Wait()
	for i, c := range changes[1:] {
		if c.From != changes[i].To {
			t.Fatalf("change %d is %v → %v after one to %v", i+1, c.From, c.To, changes[i].To)
		}
	}
	if len(changes) < 10 {
		t.Errorf("only %d changes", len(changes))
	}

	told := 0
	p := newBreaker(t, breaker.Config{MinCalls: 1, OpenFor: 1, Probes: 1, OnChange: func(breaker.Change) { told++; panic("hook") }})
	for range 2 {
		func() {
			defer func() { _ = recover() }()
			_ = p.Do(t.Context(), answer(errDown))
		}()
	}
	if told < 2 {
		t.Errorf("told %d times, want 2", told)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cfg  breaker.Config
		want string
	}{
		{breaker.Config{}, ""},
		{breaker.Config{MinCalls: 500}, ""},
		{breaker.Config{Window: 5}, ""},
		{breaker.Config{Ratio: -0.5}, "Ratio is -0.5, must be above 0 and at most 1"},
		{breaker.Config{Ratio: 50}, "Ratio is 50"},
		{breaker.Config{Window: breaker.MaxWindow + 1}, "Window is 10001, must be from 1 to 10000"},
		{breaker.Config{Window: -1}, "Window is -1"},
		{breaker.Config{Window: 5, MinCalls: 6}, "MinCalls is 6, must be from 1 to Window, which is 5"},
		{breaker.Config{Probes: 101}, "Probes is 101, must be from 1 to 100"},
		{breaker.Config{OpenFor: -1}, "OpenFor is -1ns, must not be negative"},
		{breaker.Config{MaxAge: -1}, "MaxAge is -1ns"},
		{breaker.Config{ProbeTimeout: -1}, "ProbeTimeout is -1ns"},
	} {
		_, err := breaker.New(tt.cfg)
		if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: error %v, want %q", tt.cfg, err, tt.want)
		}
	}
	if _, err := breaker.NewGroup(breaker.Config{}, -1); !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("group of -1: %v", err)
	}
	if _, err := breaker.NewGroup(breaker.Config{Ratio: 2}, 0); !errors.Is(err, fault.InvalidArgument) {
		t.Errorf("group: %v", err)
	}
}

func TestCostOfClosed(t *testing.T) {
	b := newBreaker(t, breaker.Config{})
	fn := answer(nil)
	call(t, b, breaker.DefaultWindow, nil)
	if n := testing.AllocsPerRun(1000, func() { _ = b.Do(context.Background(), fn) }); n > 0 {
		t.Errorf("a call costs %v allocations", n)
	}
}

func BenchmarkDo(b *testing.B) {
	br, err := breaker.New(breaker.Config{})
	if err != nil {
		b.Fatal(err)
	}
	fn := answer(nil)
	b.ReportAllocs()
	for b.Loop() {
		_ = br.Do(context.Background(), fn)
	}
}
