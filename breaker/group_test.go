package breaker_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupe-dev/troupe/breaker"
)

func newGroup(t *testing.T, limit int) *breaker.Group {
	t.Helper()
	g, err := breaker.NewGroup(breaker.Config{}, limit)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func targets(g *breaker.Group) (names []string) {
	for _, i := range g.Infos() {
		names = append(names, i.Target)
	}
	return names
}

// Req F12: each target has a circuit of its own.
func TestGroupKeepsTargetsApart(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 0)
	call(t, g.Get("a"), 10, errDown)
	call(t, g.Get("b"), 10, nil)
	if err := g.Get("a").Do(t.Context(), answer(nil)); !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("a: %v", err)
	}
	call(t, g.Get("b"), 1, nil)
	if first := g.Get("a"); first != g.Get("a") {
		t.Error("two breakers for one target")
	}
}

func TestGroupIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, 3)
		for _, name := range []string{"open", "old", "new"} {
			g.Get(name)
			time.Sleep(time.Second)
		}
		call(t, g.Get("open"), 10, errDown)
		g.Get("old")
		time.Sleep(time.Second)
		g.Get("new")
		g.Get("another") // the open one was used least recently, but knows something
		if got := fmt.Sprint(targets(g)); got != "[another new open]" {
			t.Errorf("the group knows %s", got)
		}
		for _, name := range []string{"new", "another"} {
			call(t, g.Get(name), 10, errDown)
		}
		time.Sleep(time.Second)
		g.Get("open")
		g.Get("new")
		g.Get("last") // all are open
		if got := fmt.Sprint(targets(g)); got != "[last new open]" {
			t.Errorf("the group knows %s", got)
		}
	})
}
