package workflow_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/console"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/connector/file"
	"github.com/troupe-dev/troupe/workflow/connector/http"
	"github.com/troupe-dev/troupe/workflow/connector/inbox"
	"github.com/troupe-dev/troupe/workflow/connector/json"
	"github.com/troupe-dev/troupe/workflow/connector/kafka"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/connector/parquet"
	"github.com/troupe-dev/troupe/workflow/connector/shell"
	"github.com/troupe-dev/troupe/workflow/connector/sql"
	"github.com/troupe-dev/troupe/workflow/connector/text"
	"github.com/troupe-dev/troupe/workflow/transform"
)

// everything has all node types.
func everything() *workflow.Registry {
	r := workflow.NewRegistry()
	console.Register(r, os.Stdout)
	for _, register := range []func(*workflow.Registry){
		csv.Register, file.Register, http.Register, inbox.Register, json.Register, kafka.Register, memory.Register, parquet.Register, shell.Register, sql.Register,
		text.Register, transform.Register,
	} {
		register(r)
	}
	return r
}

// rebuild writes a document by the calls of a builder.
func rebuild(t *testing.T, document yamldoc.Tree) *workflow.Builder {
	t.Helper()
	b := workflow.NewBuilder(document.Get("name").Text)
	for _, k := range document.Keys {
		switch k.Name {
		case "description":
			b.Description(k.Value.Text)
		case "output":
			b.Output(workflow.StepExpr(k.Value.Text))
		case "rejects":
			b.Rejects(k.Value.Text)
		case "batch_rows":
			b.BatchRows(number(t, k.Value))
		case "queue_batches":
			b.QueueBatches(number(t, k.Value))
		case "inputs":
			for _, in := range k.Value.Keys {
				kind, err := workflow.ParseKind(in.Value.Get("type").Text)
				if err != nil {
					t.Fatal(err)
				}
				built := b.Input(in.Name, kind)
				if doc := in.Value.Get("doc"); !doc.IsNull() {
					built.Doc(doc.Text)
				}
				if given := in.Value.Get("default"); !given.IsNull() {
					v, err := workflow.ParseValue(kind, given.Text)
					if err != nil {
						t.Fatal(err)
					}
					built.Default(v)
				}
			}
		case "triggers":
			for _, trigger := range k.Value.Keys {
				b.Trigger(trigger.Name, builtTrigger(t, trigger.Value), with(trigger.Value.Get("with")))
			}
		case "schedules":
			for _, schedule := range k.Value.Keys {
				b.Schedule(schedule.Name, builtSchedule(t, schedule.Value))
			}
		case "name", "nodes":
		default:
			t.Fatalf("the builder has no %s", k.Name)
		}
	}
	nodes := map[string]*workflow.NodeBuilder{}
	makeNodes(t, &b.Scope, document.Get("nodes"), nodes)
	wire(document.Get("nodes"), nodes)
	return b
}

// builtTrigger is a trigger without its with block.
func builtTrigger(t *testing.T, v yamldoc.Tree) workflow.Trigger {
	t.Helper()
	made := workflow.Trigger{}
	for _, k := range v.Keys {
		switch k.Name {
		case "kind":
			made.Kind = k.Value.Text
		case "inputs":
			made.Inputs = texts(k.Value)
		case "with":
		default:
			t.Fatalf("a trigger of the builder has no %s", k.Name)
		}
	}
	return made
}

func builtSchedule(t *testing.T, v yamldoc.Tree) workflow.Schedule {
	t.Helper()
	made := workflow.Schedule{}
	for _, k := range v.Keys {
		switch k.Name {
		case "cron":
			made.Cron = k.Value.Text
		case "every":
			made.Every = workflow.Duration(duration(t, k.Value))
		case "overlap":
			made.Overlap = workflow.Overlap(k.Value.Text)
		case "inputs":
			made.Inputs = texts(k.Value)
		default:
			t.Fatalf("a schedule of the builder has no %s", k.Name)
		}
	}
	return made
}

func texts(v yamldoc.Tree) map[string]string {
	all := map[string]string{}
	for _, k := range v.Keys {
		all[k.Name] = k.Value.Text
	}
	return all
}

func makeNodes(t *testing.T, s *workflow.Scope, list yamldoc.Tree, nodes map[string]*workflow.NodeBuilder) {
	t.Helper()
	for _, of := range list.List {
		n := s.Node(of.Get("id").Text, of.Get("type").Text, with(of.Get("with")))
		nodes[n.ID()] = n
		for _, k := range of.Keys {
			v := k.Value
			switch k.Name {
			case "doc":
				n.Doc(v.Text)
			case "when":
				n.When(workflow.StepExpr(v.Text))
			case "retry":
				p := retry.Policy{Initial: duration(t, v.Get("initial")), Cap: duration(t, v.Get("cap")), Multiplier: float(v.Get("multiplier"))}
				if most := v.Get("max"); !most.IsNull() {
					if p.Max = number(t, most); p.Max == 0 {
						p.Max = -1
					}
				}
				if v.Get("on").Text == "any" {
					n.RetryAny(p)
				} else {
					n.Retry(p)
				}
			case "timeout":
				n.Timeout(duration(t, v))
			case "heartbeat":
				n.Heartbeat(duration(t, v))
			case "concurrency":
				n.Concurrency(number(t, v.Get("limit")), v.Get("key").Text)
			case "rate":
				n.Rate(float(v.Get("per_second")), number(t, v.Get("burst")), v.Get("key").Text)
			case "parallel":
				n.Parallel(number(t, v))
			case "overflow":
				n.Overflow(workflow.Overflow(v.Text))
			case "priority":
				n.Priority(number(t, v))
			case "undo":
				n.Undo(v.Get("type").Text, with(v.Get("with")), duration(t, v.Get("timeout")))
			case "do":
				n.Do(func(s *workflow.Scope) { makeNodes(t, s, v, nodes) })
			case "id", "type", "with", "from", "after":
			default:
				t.Fatalf("the builder of nodes has no %s", k.Name)
			}
		}
	}
}

func wire(list yamldoc.Tree, nodes map[string]*workflow.NodeBuilder) {
	outlets := func(v yamldoc.Tree) (out []workflow.Outlet) {
		if v.Tag == yamldoc.TagText {
			v.List = []yamldoc.Tree{v}
		}
		for _, e := range v.List {
			id, handle, named := strings.Cut(e.Text, ".")
			if named {
				out = append(out, nodes[id].Out(handle))
			} else {
				out = append(out, nodes[id])
			}
		}
		return out
	}
	for _, of := range list.List {
		n := nodes[of.Get("id").Text]
		n.After(outlets(of.Get("after"))...)
		if from := of.Get("from"); from.Tag == yamldoc.TagMap {
			for _, k := range from.Keys {
				n.FromInput(k.Name, outlets(k.Value)...)
			}
		} else {
			n.From(outlets(from)...)
		}
		wire(of.Get("do"), nodes)
	}
}

func with(v yamldoc.Tree) workflow.With {
	if v.IsNull() {
		return nil
	}
	settings, _ := setting(v).(workflow.Settings)
	return settings
}

func setting(v yamldoc.Tree) workflow.SettingValue {
	switch v.Tag {
	case yamldoc.TagMap:
		s := workflow.Settings{}
		for _, k := range v.Keys {
			s = append(s, workflow.Setting{Key: k.Name, Value: setting(k.Value)})
		}
		return s
	case yamldoc.TagList:
		l := workflow.List{}
		for _, e := range v.List {
			l = append(l, setting(e))
		}
		return l
	case yamldoc.TagInt:
		i, _ := strconv.ParseInt(v.Text, 10, 64)
		return workflow.Int(i)
	case yamldoc.TagFloat:
		return workflow.Float(float(v))
	case yamldoc.TagBool:
		return workflow.Bool(v.Text == "true")
	case yamldoc.TagText:
		return workflow.String(v.Text)
	}
	return workflow.Null()
}

func number(t *testing.T, v yamldoc.Tree) int {
	t.Helper()
	if v.IsNull() {
		return 0
	}
	n, err := strconv.Atoi(v.Text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func float(v yamldoc.Tree) float64 {
	f, _ := strconv.ParseFloat(v.Text, 64) // nothing is 0
	return f
}

func duration(t *testing.T, v yamldoc.Tree) time.Duration {
	t.Helper()
	if v.IsNull() {
		return 0
	}
	d, err := time.ParseDuration(v.Text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func tree(t *testing.T, text []byte) yamldoc.Tree {
	t.Helper()
	document, err := yamldoc.Parse("w.yaml", text, yamldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return document.Root().Tree()
}

// Req W1: a definition that is written in Go is the same document as the one in
// YAML: of each definition of the repository, written by calls of a builder, the
// canonical text is the same, and read again it is the same definition.
func TestBuilderWritesTheSameDocument(t *testing.T) {
	t.Parallel()
	lab, all := workflow.LabRegistry(), everything()
	type source struct {
		name, dir string
		text      []byte
		registry  *workflow.Registry
	}
	sources := []source{{"good", ".", []byte(workflow.GoodText), lab}}
	for pattern, registry := range map[string]*workflow.Registry{"testdata/history/*.yaml": lab, "../examples/*/*.yaml": all} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, source{path, filepath.Dir(path), text, registry})
		}
	}
	for _, s := range sources {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			options := workflow.LoadOptions{Registry: s.registry, Open: true}
			want, err := workflow.LoadText(s.name, s.dir, s.text, options)
			if err != nil {
				t.Fatal(err)
			}
			wantText, err := want.YAML()
			if err != nil {
				t.Fatal(err)
			}
			got, err := rebuild(t, tree(t, s.text)).Build(s.dir, options)
			if err != nil {
				t.Fatal(err)
			}
			gotText, err := got.YAML()
			if err != nil || string(gotText) != string(wantText) {
				t.Fatalf("got\n%s\nwant\n%s, %v", gotText, wantText, err)
			}
			if d := workflow.DiffDefinitions(want, got); !d.Same() {
				t.Errorf("they differ: %s", d.String())
			}
			again, err := workflow.LoadText(s.name, s.dir, gotText, options)
			if err != nil || !reflect.DeepEqual(again.Nodes, got.Nodes) || !reflect.DeepEqual(again.Edges, got.Edges) || !reflect.DeepEqual(again.After, got.After) {
				t.Errorf("read again it is another one: %v", err)
			}
		})
	}
}

// Req W1: the struct of each node type writes the with block that it was read from.
func TestConfigOfEveryType(t *testing.T) {
	t.Parallel()
	r := everything()
	for _, info := range r.Types() {
		if info.Example == "" {
			continue
		}
		t.Run(info.Name, func(t *testing.T) {
			t.Parallel()
			document, err := yamldoc.Parse("with", []byte(info.Example), yamldoc.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			config := reflect.New(reflect.TypeOf(workflow.ConfigOf(r, info.Name)))
			if errs := document.Root().Decode(config.Interface()); errs != nil {
				t.Fatal(errs)
			}
			want, err := document.Root().Tree().Shaped(info.Config).YAML()
			if err != nil {
				t.Fatal(err)
			}
			written := yamldoc.TreeOf(config.Interface())
			got, err := written.Shaped(info.Config).YAML()
			if err != nil {
				t.Fatal(err)
			}
			again := reflect.New(config.Type().Elem())
			if errs := reparse(t, got).Decode(again.Interface()); errs != nil || !reflect.DeepEqual(again.Interface(), config.Interface()) {
				t.Errorf("read again it is another one: %v\n%s\nwant\n%s", errs, got, want)
			}
			if string(got) != string(want) && info.Name != "source.memory" { // whose cells are written as texts
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func reparse(t *testing.T, text []byte) yamldoc.Node {
	t.Helper()
	document, err := yamldoc.Parse("with", text, yamldoc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return document.Root()
}

// Req W1: every mistake is told with the node, the key, and the line of the call.
func TestBuilderProblems(t *testing.T) {
	t.Parallel()
	other := workflow.NewBuilder("other")
	stranger := other.Node("stranger", "source.rows", nil)
	for _, tt := range []struct {
		name  string
		build func(b *workflow.Builder)
		want  []string // path and message of each, in the order of the calls
	}{
		{"no nodes", func(*workflow.Builder) {}, []string{"nodes: there is no source and no task"}},
		{"inputs", func(b *workflow.Builder) {
			b.Input("least", workflow.KindInt).Default(workflow.String("many"))
			b.Input("least", workflow.KindInt)
			b.Value("a", "1")
		}, []string{`inputs.least.default: "many" is not an integer`, "inputs.least: the input is declared already, at "}},
		{"references", func(b *workflow.Builder) {
			a := b.Value("a", "1")
			b.Value("b", "2").After(stranger, nil, a)
			b.Value("c", "3").After(a.Out("els"))
		}, []string{
			`b.after: the node "stranger" is one of another builder`, "b.after: there is no node", `c.after: unknown way out of a "els"`,
		}},
		{"within a loop", func(b *workflow.Builder) {
			b.Foreach("each", workflow.ForeachConfig{Items: "[1]", Parallel: -1}, func(s *workflow.Scope) {
				s.Value("one", "itme + 1")
			})
		}, []string{"each.with.parallel: expected a number from 1 to 10000", `one.with.output: unknown name "itme"`}},
		{"undo", func(b *workflow.Builder) {
			b.Node("a", "task.play", workflow.Settings{workflow.Set("text", "x")}).Undo("task.play", workflow.Config(retryConfig{}), 0)
		}, []string{"a.undo.with: a task.play takes the configuration workflow.playConfig, not workflow_test.retryConfig"}},
		{"rows", func(b *workflow.Builder) {
			rows := b.Node("rows", "source.rows", workflow.Settings{workflow.Set("columns", workflow.Settings{workflow.Set("n", "int")}), workflow.Set("rows", 3)})
			few := b.Node("few", "filter", workflow.Settings{workflow.Set("where", "m > 1")}).From(rows)
			b.Node("out", "sink.memory", nil).From(few, rows, few)
		}, []string{`few.with.where: unknown column "m"`, `out.from[2]: the rows of "few" come in twice`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := workflow.NewBuilder("w")
			tt.build(b)
			_, err := b.Build(".", workflow.LoadOptions{Registry: workflow.LabRegistry()})
			var problems workflow.Problems
			if !errors.As(err, &problems) || len(problems) != len(tt.want) {
				t.Fatalf("got %v", err)
			}
			for i, p := range problems {
				if got := p.Path + ": " + p.Message; !strings.HasPrefix(got, tt.want[i]) || filepath.Base(p.File) != "builder_test.go" || p.Line == 0 {
					t.Errorf("%d: got %s at %s:%d, want %s", i, got, p.File, p.Line, tt.want[i])
				}
			}
		})
	}
}

type retryConfig struct{}

// Req W1: what is built can be run, again and again.
func TestBuilderBuildsTwice(t *testing.T) {
	t.Parallel()
	b := workflow.NewBuilder("w")
	b.Value("a", "1")
	first, err := b.Build(".", workflow.LoadOptions{Registry: workflow.LabRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	b.Value("b", "2")
	second, err := b.Build(".", workflow.LoadOptions{Registry: workflow.LabRegistry()})
	if err != nil || len(first.Nodes) != 1 || len(second.Nodes) != 2 || first.File != "w.yaml" {
		t.Errorf("got %v and %v, %v", first, second, err)
	}
}
