package actor

import (
	"context"
	"reflect"
	"time"

	"github.com/troupe-dev/troupe/fault"
)

// Service is something that runs until its context ends: a server, a loop. A nil
// error, or the context's, is a normal end; another error, or a panic, is a
// failure that its supervisor decides on.
type Service interface {
	Serve(ctx context.Context) error
}

// ServiceFunc is a function as a Service.
type ServiceFunc func(ctx context.Context) error

// Serve calls f.
func (f ServiceFunc) Serve(ctx context.Context) error { return f(ctx) }

// ServiceSpec says how to make a service and how to keep it, like [Spec].
type ServiceSpec struct {
	Name        string
	New         func() Service // called at spawn and at every restart; required
	Restart     Restart
	StopTimeout time.Duration
	Type        string
}

// ServiceRef is a reference to a service. It takes no messages.
type ServiceRef = Ref[ServiceMessage]

// ServiceMessage has no values: a service takes no messages.
type ServiceMessage interface{ isServiceMessage() }

// SpawnService runs a service as a child in the tree. When it is stopped its
// context is cancelled and Serve has until the StopTimeout to return.
func SpawnService(parent Parent, spec ServiceSpec) (ServiceRef, error) {
	if spec.New == nil {
		return ServiceRef{}, fault.New(fault.InvalidArgument, "actor.SpawnService", "spec %q has no New; it must return a new service", spec.Name)
	}
	return Spawn(parent, Spec[ServiceMessage]{
		Name: spec.Name, Restart: spec.Restart, StopTimeout: spec.StopTimeout, Type: spec.Type,
		New: func() Behavior[ServiceMessage] { return &serving{service: spec.New()} },
	})
}

// serving is the behaviour that keeps a service.
type serving struct {
	service Service
	cancel  context.CancelFunc
	ended   chan struct{}
}

func (s *serving) Receive(*Context[ServiceMessage], ServiceMessage) error { return nil }

func (s *serving) Start(ctx *Context[ServiceMessage]) error {
	if s.service == nil {
		return fault.New(fault.Internal, "actor.SpawnService", "New returned nil")
	}
	core := &ctx.c.core
	life, cancel := context.WithCancel(context.WithValue(core.lifetime(), logKey{}, core.logAttrs()))
	s.cancel, s.ended = cancel, make(chan struct{})
	core.sys.spawn(func() {
		err := s.serve(life)
		stopped := life.Err() != nil
		close(s.ended)
		switch {
		case stopped: // whoever cancelled it knows
		case err == nil:
			core.post(signal{kind: signalEnd})
		default:
			core.post(signal{kind: signalFail, err: err})
		}
	})
	return nil
}

func (s *serving) serve(ctx context.Context) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = newPanicError(recover())
		}
	}()
	err = s.service.Serve(ctx)
	returned = true
	return err
}

func (s *serving) Stop(*Context[ServiceMessage]) error {
	s.cancel()
	<-s.ended
	return nil
}

// typeName is the label of a service in the tree.
func (s *serving) typeName() string {
	if t := reflect.TypeOf(s.service); t != nil && t.Kind() != reflect.Func {
		return t.String()
	}
	return "service"
}
