package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/troupe-dev/troupe/fault"
)

// Req W7: a memory keeps texts by key for each node, replaces and forgets them, and
// has bounds.
func TestMemory(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newStage(t, nil)
	m, other := s.engine.memory("w", "a"), s.engine.memory("w", "a.b")
	want := func(m *Memory, want string) {
		t.Helper()
		all, err := m.All(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s", all); got != want {
			t.Errorf("kept are %s, want %s", got, want)
		}
	}
	long := strings.Repeat("x", 4096)
	for _, err := range []error{
		m.Keep(ctx, map[string]json.RawMessage{"a": json.RawMessage("1"), long: json.RawMessage(`{"b": 2}`)}, []string{"nothing"}),
		other.Keep(ctx, map[string]json.RawMessage{"a": json.RawMessage("7")}, nil),
		m.Keep(ctx, map[string]json.RawMessage{"a": json.RawMessage("3")}, []string{long}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want(m, "map[a:3]")
	want(other, "map[a:7]")
	for text, code := range map[string]fault.Code{"x": fault.InvalidArgument, `"` + strings.Repeat(long, 4) + `"`: fault.InvalidArgument} {
		if err := m.Keep(ctx, map[string]json.RawMessage{"b": json.RawMessage(text)}, []string{"a"}); fault.CodeOf(err) != code {
			t.Errorf("%.20s: %v", text, err)
		}
	}
	many := map[string]json.RawMessage{}
	for i := range MemoryMax {
		many[fmt.Sprint(i)] = json.RawMessage("1")
	}
	if err := m.Keep(ctx, many, nil); fault.CodeOf(err) != fault.ResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
	want(m, "map[a:3]")
	if err := s.engine.forgetMemories(ctx, memoryPrefix+"w"); err != nil {
		t.Fatal(err)
	}
	want(m, "map[]")
	want(other, "map[]")
}
