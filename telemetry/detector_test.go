package telemetry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/actor"
	"github.com/troupe-dev/troupe/telemetry"
)

const mib = 1 << 20

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// node makes an actor of type "t" with the path /name and an id of its own.
func node(id uint64, name string, change func(*actor.Info), children ...actor.Info) actor.Info {
	a := actor.Info{ID: id, Path: "/" + name, Type: "t", State: actor.StateRunning, Children: children}
	if change != nil {
		change(&a)
	}
	return a
}

func holding(bytes int64) func(*actor.Info) { return func(a *actor.Info) { a.Memory = bytes } }

func waiting(messages int) func(*actor.Info) { return func(a *actor.Info) { a.Mailbox = messages } }

func spent(d time.Duration) func(*actor.Info) {
	return func(a *actor.Info) { a.BusyTime, a.Processed = d, uint64(d) }
}

func tree(children ...actor.Info) actor.Info {
	return actor.Info{Path: "/", Type: "system", State: actor.StateRunning, Children: children}
}

// script runs samples one second apart through a detector and returns a line
// for each verdict that says something: "2: +mailbox /a 1001", "5: isolate /a".
// What the detector isolates is seen as isolated in the samples that follow.
func script(d *telemetry.Detector, samples ...telemetry.Sample) string {
	isolated := map[string]bool{}
	var obey func(a *actor.Info)
	obey = func(a *actor.Info) {
		if isolated[a.Path] {
			a.State = actor.StateIsolated
		}
		for i := range a.Children {
			obey(&a.Children[i])
		}
	}
	return play(d, samples, func(tree *actor.Info, v *telemetry.Verdict) {
		if tree != nil {
			obey(tree)
			return
		}
		for _, path := range v.Isolate {
			isolated[path] = true
		}
		for _, path := range v.Release {
			delete(isolated, path)
		}
	})
}

// asGiven is script for samples that say themselves what is isolated.
func asGiven(d *telemetry.Detector, samples ...telemetry.Sample) string {
	return play(d, samples, func(*actor.Info, *telemetry.Verdict) {})
}

// play calls world with each tree before and with each verdict after it is made.
func play(d *telemetry.Detector, samples []telemetry.Sample, world func(*actor.Info, *telemetry.Verdict)) string {
	var out []string
	for i, s := range samples {
		s.At = begin.Add(time.Duration(i) * time.Second)
		world(&s.Tree, nil)
		v := d.Step(s)
		world(nil, &v)
		for _, a := range v.Alerts {
			sign := "-"
			if a.Firing {
				sign = "+"
			}
			out = append(out, fmt.Sprintf("%d: %s%s %s %.6g", i, sign, a.Rule, a.Path, a.Value))
		}
		for _, path := range v.Isolate {
			out = append(out, fmt.Sprintf("%d: isolate %s", i, path))
		}
		for _, path := range v.Release {
			out = append(out, fmt.Sprintf("%d: release %s", i, path))
		}
	}
	return strings.Join(out, "\n")
}

func want(t *testing.T, got string, lines ...string) {
	t.Helper()
	if w := strings.Join(lines, "\n"); got != w {
		t.Errorf("got\n%s\nwant\n%s", got, w)
	}
}

// each makes a sample of each tree.
func each(trees ...actor.Info) []telemetry.Sample {
	var samples []telemetry.Sample
	for _, tree := range trees {
		samples = append(samples, telemetry.Sample{Tree: tree, CPU: -1, Cores: 2})
	}
	return samples
}

// Req A10
func TestDetectorMailbox(t *testing.T) {
	t.Parallel()
	with := func(a, b int) actor.Info { return tree(node(1, "a", waiting(a)), node(2, "b", waiting(b))) }
	got := script(telemetry.NewDetector(telemetry.Limits{}), each(
		with(1000, 3), with(1001, 3), with(1002, 2000),
		with(10, 10), with(10, 10), with(1500, 10), // not yet over
		with(0, 0), with(0, 0), with(0, 0), with(0, 0),
	)...)
	want(t, got, "1: +mailbox /a 1001", "8: -mailbox /a 0")
}

// Req A10
func TestDetectorRestarts(t *testing.T) {
	t.Parallel()
	var samples []telemetry.Sample
	restarts := uint64(100) // before anybody looked
	for second := range 80 {
		switch second {
		case 10, 20, 30, 40: // the fourth is one too many, until the first is a minute old
			restarts++
		}
		samples = append(samples, telemetry.Sample{Tree: tree(), Kinds: []actor.KindStats{{Type: "t", Restarts: restarts}}})
	}
	got := script(telemetry.NewDetector(telemetry.Limits{}), samples...)
	want(t, got, "40: +restarts  4", "72: -restarts  3")
}

// Req A10
func TestDetectorLatency(t *testing.T) {
	t.Parallel()
	with := func(fast, slow uint64) telemetry.Sample {
		buckets := make([]uint64, len(actor.TimingBounds())+1)
		buckets[3], buckets[21] = fast, slow // up to 8 µs, 1.05 to 2.1 s
		return telemetry.Sample{Tree: tree(), Kinds: []actor.KindStats{{Type: "t", Timing: actor.Timing{Count: fast + slow, Buckets: buckets}}}}
	}
	limits := telemetry.Limits{Samples: 1}
	got := script(telemetry.NewDetector(limits),
		with(0, 1000), // before anybody looked
		with(0, 1099), // too few to say anything
		with(9801, 1099), with(9801, 1101), with(20000, 1101))
	want(t, got, "3: +latency  1.06913", "4: -latency  7.979e-06")
}

// Req A10
func TestDetectorMemory(t *testing.T) {
	t.Parallel()
	with := func(m int64) actor.Info { return tree(node(1, "a", holding(m*mib))) }
	isolated := func(m int64) actor.Info {
		return tree(node(1, "a", func(a *actor.Info) { a.Memory, a.State = m*mib, actor.StateIsolated }))
	}
	t.Run("isolates after three samples, releases after three below the half", func(t *testing.T) {
		t.Parallel()
		got := asGiven(telemetry.NewDetector(telemetry.Limits{}), each(
			with(513), with(513), with(512), // one short
			with(513), with(513), with(600), isolated(600),
			isolated(300), isolated(300), isolated(300), isolated(300),
			isolated(256), isolated(256), isolated(257), // one short
			isolated(256), isolated(10), isolated(9), with(9), with(9),
		)...)
		want(t, got, "5: +memory /a 6.29146e+08", "5: isolate /a", "16: -memory /a 9.43718e+06", "16: release /a")
	})
	t.Run("released by somebody else", func(t *testing.T) {
		t.Parallel()
		got := asGiven(telemetry.NewDetector(telemetry.Limits{}), each(
			with(513), with(513), with(513), isolated(513), with(513), isolated(513),
		)...)
		want(t, got, "2: +memory /a 5.37919e+08", "2: isolate /a", "4: isolate /a")
	})
	t.Run("isolated by somebody else", func(t *testing.T) {
		t.Parallel()
		got := asGiven(telemetry.NewDetector(telemetry.Limits{}), each(
			isolated(513), isolated(513), isolated(513), isolated(1), isolated(1), isolated(1),
		)...)
		want(t, got, "2: +memory /a 5.37919e+08", "5: -memory /a 1.04858e+06", "5: release /a")
	})
	t.Run("gone", func(t *testing.T) {
		t.Parallel()
		got := asGiven(telemetry.NewDetector(telemetry.Limits{}), each(with(513), with(513), with(513), tree(), tree())...)
		want(t, got, "2: +memory /a 5.37919e+08", "2: isolate /a", "3: -memory /a 5.37919e+08")
	})
	t.Run("a new actor of the same name begins anew", func(t *testing.T) {
		t.Parallel()
		got := asGiven(telemetry.NewDetector(telemetry.Limits{}), each(
			with(513), with(513), tree(node(2, "a", holding(513*mib))), tree(node(2, "a", holding(513*mib))), with(0))...)
		want(t, got)
	})
	t.Run("switched off", func(t *testing.T) {
		t.Parallel()
		off := telemetry.Limits{Mailbox: -1, RestartsPerMinute: -1, Latency: -1, MemoryBytes: -1, CPU: -1}
		busy := func(seconds float64) actor.Info {
			return tree(node(1, "a", func(a *actor.Info) {
				a.Memory, a.Mailbox, a.BusyTime = 1<<40, 1<<20, time.Duration(seconds*float64(time.Second))
			}))
		}
		got := asGiven(telemetry.NewDetector(off), each(busy(0), busy(1), busy(2), busy(3), busy(4))...)
		want(t, got)
	})
}

// Req A10
func TestDetectorBlamesTheInnermost(t *testing.T) {
	t.Parallel()
	three := func(tree actor.Info) []telemetry.Sample { return each(tree, tree, tree, tree) }
	tests := []struct {
		name string
		tree actor.Info
		want []string
	}{
		{"the sum", tree(node(1, "p", nil,
			node(2, "p/a", holding(200*mib)), node(3, "p/b", holding(200*mib)), node(4, "p/c", holding(200*mib)))),
			[]string{"2: +memory /p 6.29146e+08", "2: isolate /p"}},
		{"a child alone", tree(node(1, "p", holding(300*mib),
			node(2, "p/a", holding(600*mib)), node(3, "p/b", holding(200*mib)))),
			[]string{"2: +memory /p/a 6.29146e+08", "2: isolate /p/a"}},
		{"a child and the rest", tree(node(1, "p", holding(400*mib),
			node(2, "p/a", holding(600*mib)), node(3, "p/b", holding(200*mib)))),
			[]string{"2: +memory /p 6.29146e+08", "2: +memory /p/a 6.29146e+08", "2: isolate /p/a", "2: isolate /p"}},
		{"the system as a whole is not isolated", tree(node(1, "a", holding(300*mib)), node(2, "b", holding(300*mib))),
			[]string{"2: +memory / 6.29146e+08"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want(t, script(telemetry.NewDetector(telemetry.Limits{}), three(tt.tree)...), tt.want...)
		})
	}
}

// Req A10
func TestDetectorCPU(t *testing.T) {
	t.Parallel()
	// seconds makes a sample a second of actors that each spend a share of it in
	// handlers, while the process uses cpu seconds a second.
	seconds := func(cpu float64, shares ...float64) []telemetry.Sample {
		var samples []telemetry.Sample
		for second := range 6 {
			var actors []actor.Info
			for i, share := range shares {
				d := time.Duration(share * float64(second) * float64(time.Second))
				actors = append(actors, node(uint64(2+i), fmt.Sprintf("p/%d", i), spent(d)))
			}
			samples = append(samples, telemetry.Sample{
				Tree: tree(node(1, "p", nil, actors...)), Cores: 2,
				CPU: time.Duration(cpu * float64(second) * float64(time.Second)),
			})
		}
		return samples
	}
	unknown := seconds(0, 0.9)
	for i := range unknown {
		unknown[i].CPU = -1
	}
	running := seconds(1, 0)
	for i := range running {
		running[i].Tree.Children[0].Children[0].Busy = true
	}
	tests := []struct {
		name    string
		samples []telemetry.Sample
		want    []string
	}{
		{"one processor", seconds(0.9, 0.9), []string{"3: +cpu /p/0 0.9", "3: isolate /p/0"}},
		{"at the limit", seconds(1, 0.8), nil},
		{"a handler that waits uses nothing", seconds(0.01, 1, 1, 1), nil},
		{"the busy time is shared out", seconds(1, 1, 0.25), nil},
		{"unknown use of the process", unknown, []string{"3: +cpu /p/0 0.9", "3: isolate /p/0"}},
		{"a handler that does not return", running, []string{"3: +cpu /p/0 1", "3: isolate /p/0"}},
		{"a subtree may use more than one actor", seconds(1.5, 0.5, 0.5, 0.5), nil},
		// The root uses as much, but nobody is blamed twice.
		{"a subtree that uses all", seconds(1.8, 0.6, 0.6, 0.6), []string{"3: +cpu /p 1.8", "3: isolate /p"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want(t, script(telemetry.NewDetector(telemetry.Limits{}), tt.samples...), tt.want...)
		})
	}
}

func TestDetectorNeverIsolates(t *testing.T) {
	t.Parallel()
	heavy := tree(
		node(1, "runs", holding(600*mib), node(2, "runs/1", holding(600*mib))),
		node(3, "runsheet", holding(600*mib)),
		node(4, "p", holding(600*mib), node(5, "p/q", nil, node(6, "p/q/r", nil)), node(7, "p/s", holding(600*mib))),
	)
	limits := telemetry.Limits{NeverIsolate: []string{"/runs", "/p/q"}, Samples: 1}
	want(t, script(telemetry.NewDetector(limits), each(heavy)...),
		"0: +memory /p 6.29146e+08", "0: +memory /p/s 6.29146e+08", "0: +memory /runs 6.29146e+08",
		"0: +memory /runs/1 6.29146e+08", "0: +memory /runsheet 6.29146e+08",
		"0: isolate /runsheet", "0: isolate /p/s")
}

func TestDetectorTwoRulesOneActor(t *testing.T) {
	t.Parallel()
	var samples []telemetry.Sample
	for second := range 12 {
		a := node(1, "a", nil)
		if second < 6 {
			a.Memory = 600 * mib
		}
		a.BusyTime = time.Duration(min(second, 8)) * time.Second
		samples = append(samples, telemetry.Sample{Tree: tree(a), CPU: -1, Cores: 1})
	}
	got := script(telemetry.NewDetector(telemetry.Limits{}), samples...)
	want(t, got, "2: +memory /a 6.29146e+08", "2: isolate /a", "3: +cpu /a 1", "8: -memory /a 0", "11: -cpu /a 0", "11: release /a")
}

func TestDetectorIgnoresSamplesOutOfOrder(t *testing.T) {
	t.Parallel()
	d := telemetry.NewDetector(telemetry.Limits{})
	s := telemetry.Sample{At: begin, Tree: tree(node(1, "a", waiting(5000)))}
	if v := d.Step(s); len(v.Alerts) != 1 {
		t.Fatalf("verdict %v", v)
	}
	for _, at := range []time.Time{begin, begin.Add(-time.Hour)} {
		s := telemetry.Sample{At: at, Tree: tree()}
		if v := d.Step(s); len(v.Alerts) != 0 {
			t.Errorf("verdict %v on a sample of %v", v, at)
		}
	}
	if active := d.Active(); len(active) != 1 || active[0].Path != "/a" {
		t.Errorf("active alerts %v", active)
	}
}

func ExampleDetector() {
	d := telemetry.NewDetector(telemetry.Limits{})
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	full := actor.Info{Path: "/", Children: []actor.Info{
		{ID: 1, Path: "/orders", Type: "orders", State: actor.StateRunning, Mailbox: 1700, Memory: 600 << 20},
	}}
	for second := range 3 {
		v := d.Step(telemetry.Sample{At: at.Add(time.Duration(second) * time.Second), Tree: full})
		for _, a := range v.Alerts {
			fmt.Println(second, a)
		}
		for _, path := range v.Isolate {
			fmt.Println(second, "isolate", path)
		}
	}
	// Output:
	// 0 /orders: 1700 messages waiting, limit 1000
	// 2 /orders: 600 MiB held, limit 512 MiB; isolated
	// 2 isolate /orders
}
