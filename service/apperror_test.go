package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/service"
	shop "github.com/troupe-dev/troupe/service/internal/shopv1"
	"github.com/troupe-dev/troupe/service/servicetest"
	"github.com/troupe-dev/troupe/wire"
)

var errSoldOut = errors.New("sold out")

// limitError is an application's error with data.
type limitError struct {
	Limit int `json:"limit"`
}

func (e *limitError) Error() string { return fmt.Sprintf("at most %d", e.Limit) }

// Req F2: an application's error arrives typed, over a border as well.
func TestApplicationErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", service.MaxErrorText)
	var answer error
	run(t, func(s *setup, _ *servicetest.Options) {
		s.impl.get = func(context.Context, *shop.GetRequest) (*shop.GetResponse, error) { return nil, answer }
		if err := errors.Join(
			service.RegisterError(s.errors, wire.JSON[*limitError]("shop.Limit")),
			s.errors.RegisterErrorValue("shop.SoldOut", errSoldOut),
			s.errors.RegisterErrorValue("shop.SoldOut", errSoldOut), // again is no mistake
		); err != nil {
			t.Fatal(err)
		}
	}, func(t *testing.T, s *setup) {
		clients := map[string]*shop.OrdersClient{
			"here": shop.NewOrdersClient(s.ref), "over the link": s.remote(),
			"unregistered": shop.NewOrdersClient(service.Remote[shop.OrdersServer](s.link, "/orders", service.RemoteOptions{})),
		}
		for where, c := range clients {
			get := func(err error) error {
				answer = err
				_, err = c.Get(t.Context(), &shop.GetRequest{})
				return err
			}
			typed := where != "unregistered"
			err := get(fmt.Errorf("order 7: %w: %w", errSoldOut, &limitError{3}))
			var limit *limitError
			if errors.Is(err, errSoldOut) != typed || errors.As(err, &limit) != typed || typed && limit.Limit != 3 {
				t.Errorf("%s: %#v", where, err)
			}
			if err.Error() != "order 7: sold out: at most 3" || fault.CodeOf(err) != fault.Unknown {
				t.Errorf("%s: %q with code %v", where, err, fault.CodeOf(err))
			}
			err = get(&fault.Error{Code: fault.OutOfRange, Op: "shop.Get", Target: "shelf 9", Hint: "there are 8"})
			var f *fault.Error
			if !errors.As(err, &f) || f.Code != fault.OutOfRange || f.Target != "shelf 9" || err.Error() != "shop.Get shelf 9 (OUT_OF_RANGE); there are 8" {
				t.Errorf("%s: %v", where, err)
			}
			if err = get(errors.New(long)); where != "here" && (len(err.Error()) > service.MaxErrorText+3 || !strings.HasSuffix(err.Error(), "...")) {
				t.Errorf("%s: a text of %d bytes", where, len(err.Error()))
			}
			if err = get(context.Canceled); fault.CodeOf(err) != fault.Canceled {
				t.Errorf("%s: %v", where, err)
			}
		}
		if got := s.ref.Stats(); got.ApplicationErrors != 12 || got.Failures != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestRegisterErrors(t *testing.T) {
	t.Parallel()
	var r service.ErrorTypes
	if err := r.RegisterErrorValue("a", errSoldOut); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		err  error
		code fault.Code
		want string
	}{
		{r.RegisterErrorValue("a", errors.New("other")), fault.AlreadyExists, "a is registered for another error"},
		{service.RegisterError(&r, wire.JSON[*limitError]("a")), fault.AlreadyExists, "registered for another error"},
		{r.RegisterErrorValue("", errSoldOut), fault.InvalidArgument, "is no name"},
	} {
		if fault.CodeOf(tt.err) != tt.code || !strings.Contains(fmt.Sprint(tt.err), tt.want) {
			t.Errorf("error %v, want %v and %q", tt.err, tt.code, tt.want)
		}
	}
}
