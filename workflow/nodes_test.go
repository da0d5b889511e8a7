package workflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// The node types of this package's tests. They live in memory, and do on
// purpose what real ones do by accident.

type columnsConfig struct {
	Columns Mapping[Kind] `yaml:"columns,required" doc:"Names and types of the columns."`
	Rows    int           `yaml:"rows" doc:"How many rows there are."`
	// Every so many rows, one is set aside.
	RejectEvery int    `yaml:"reject_every" doc:"Set aside every so many rows."`
	FailAt      int    `yaml:"fail_at" doc:"Fail when this many rows are read."`
	Label       string `yaml:"label" doc:"What the texts begin with."`
}

func (c columnsConfig) schema(check *Check) (Schema, bool) {
	var columns []Column
	for _, item := range c.Columns {
		columns = append(columns, Column{item.Key, item.Value})
	}
	return check.Schema("columns", columns...)
}

type whereConfig struct {
	Where Expr `yaml:"where,required" doc:"Keeps the rows for which it is true."`
}

type setConfig struct {
	Set Mapping[Expr] `yaml:"set,required" doc:"Columns to add."`
}

type sumConfig struct {
	Column string `yaml:"column,required" doc:"Column to sum up."`
}

type emptyConfig struct {
	Name string `yaml:"name" doc:"What the sink is called."`
}

// lab builds the node types of one test and looks into their nodes.
type lab struct {
	mu    sync.Mutex
	sinks map[string]*memorySink
	// apply, if not nil, is called before each batch that a filter, set or
	// sum node handles, and write before each one that a sink takes.
	apply func(ctx context.Context, node string, b Batch) error
	write func(ctx context.Context, node string, b Batch) error
	// read, if not nil, is called before each batch that a source reads.
	read func(ctx context.Context, node string, sofar int) error
	// hooks of sinks, by what they are told: open, prepare, commit, abort.
	tell func(ctx context.Context, node, what string) error
	// tamper changes what a transform says it did.
	tamper func(node string, out *Output)
	closed []string // sources
}

func (l *lab) registry() *Registry {
	l.sinks = map[string]*memorySink{}
	return NewRegistry(
		SourceType[columnsConfig]{Name: "source.rows", Doc: "Makes rows.", Plan: l.planSource},
		TransformType[whereConfig]{Name: "filter", Doc: "Keeps rows.", Side: []string{"else"}, Parallel: true, Plan: l.planFilter},
		TransformType[setConfig]{Name: "compute", Doc: "Adds columns.", Plan: l.planSet},
		TransformType[sumConfig]{Name: "sum", Doc: "Sums up a column.", Plan: l.planSum},
		TransformType[emptyConfig]{Name: "pairs", Doc: "Pairs rows up.", Inputs: []string{"left", "right"}, Plan: l.planPairs},
		SinkType[emptyConfig]{Name: "sink.memory", Doc: "Keeps rows.", Plan: l.planSink},
	)
}

func (l *lab) planSource(c *Check, config columnsConfig) SourcePlan {
	schema, _ := config.schema(c)
	return SourcePlan{Schema: schema, New: func(env *Env) (Source, error) {
		return &rowSource{lab: l, node: env.Node, config: config, schema: schema}, nil
	}}
}

// rowSource makes rows: row i, from 1, has i in number columns.
type rowSource struct {
	lab    *lab
	node   string
	config columnsConfig
	schema Schema
	next   int
}

func (s *rowSource) Open(context.Context) error { return nil }

func (s *rowSource) Read(ctx context.Context, limit int) (Batch, []Reject, error) {
	if s.lab.read != nil {
		if err := s.lab.read(ctx, s.node, s.next); err != nil {
			return Batch{}, nil, err
		}
	}
	b := Batch{Schema: s.schema, File: s.node + ".csv"}
	var rejects []Reject
	for len(b.Rows) < limit && s.next < s.config.Rows {
		s.next++
		if s.config.FailAt > 0 && s.next == s.config.FailAt {
			return b, rejects, fmt.Errorf("line %d: the disk is gone", s.next+1)
		}
		if s.config.RejectEvery > 0 && s.next%s.config.RejectEvery == 0 {
			rejects = append(rejects, Reject{File: b.File, Line: s.next + 1, Column: "n", Reason: "not a number", Raw: fmt.Sprint("x", s.next)})
			continue
		}
		b.Rows = append(b.Rows, s.row(s.next))
		b.Lines = append(b.Lines, s.next+1)
	}
	if s.next == s.config.Rows {
		return b, rejects, io.EOF
	}
	return b, rejects, nil
}

func (s *rowSource) row(i int) Row {
	row := make(Row, s.schema.Len())
	for c := range row {
		switch s.schema.Column(c).Kind {
		case KindInt:
			row[c] = Int(int64(i))
		case KindFloat:
			row[c] = Float(float64(i) / 2)
		case KindString:
			row[c] = String(fmt.Sprint(s.config.Label, i))
		}
	}
	return row
}

func (s *rowSource) Close() error {
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.lab.closed = append(s.lab.closed, s.node)
	return nil
}

func (s *rowSource) RowsRead() int64 { return int64(s.next) }

// rowTransform calls a function for each batch.
type rowTransform struct {
	lab   *lab
	node  string
	apply func(in Batch) (Output, error)
	flush func() Output
}

func (t *rowTransform) Apply(ctx context.Context, in Batch) (Output, error) {
	if t.lab.apply != nil {
		if err := t.lab.apply(ctx, t.node, in); err != nil {
			return Output{}, err
		}
	}
	out, err := t.apply(in)
	if t.lab.tamper != nil {
		t.lab.tamper(t.node, &out)
	}
	return out, err
}

func (t *rowTransform) Flush(context.Context) (Output, error) {
	if t.flush == nil {
		return Output{}, nil
	}
	return t.flush(), nil
}

func (l *lab) planFilter(c *Check, config whereConfig) TransformPlan {
	where, _ := c.CompileTo("where", config.Where, KindBool)
	return TransformPlan{Schema: c.Input(), Side: map[string]Schema{"else": c.Input()}, New: func(env *Env) (Transform, error) {
		return &rowTransform{lab: l, node: env.Node, apply: func(in Batch) (Output, error) {
			kept, dropped := in, in
			kept.Rows, kept.Lines, dropped.Rows, dropped.Lines = nil, nil, nil, nil
			var out Output
			for i, row := range in.Rows {
				ok, err := where.Matches(row)
				switch {
				case err != nil:
					out.Rejects = append(out.Rejects, in.Reject(i, "", err.Error()))
				case ok:
					kept.Rows, kept.Lines = append(kept.Rows, row), append(kept.Lines, in.Line(i))
				default:
					dropped.Rows, dropped.Lines = append(dropped.Rows, row), append(dropped.Lines, in.Line(i))
				}
			}
			out.Batch, out.Side = kept, map[string]Batch{"else": dropped}
			return out, nil
		}}, nil
	}}
}

func (l *lab) planSet(c *Check, config setConfig) TransformPlan {
	columns := c.Input().Columns()
	programs := make([]*Program, len(config.Set))
	for i, item := range config.Set {
		p, ok := c.Compile(KeyPath("set", item.Key), item.Value)
		if ok {
			programs[i] = p
			columns = append(columns, Column{item.Key, p.Kind()})
		}
	}
	schema, _ := c.Schema("set", columns...)
	return TransformPlan{Schema: schema, New: func(env *Env) (Transform, error) {
		return &rowTransform{lab: l, node: env.Node, apply: func(in Batch) (Output, error) {
			var out Output
			out.Batch = Batch{Schema: schema, File: in.File}
		rows:
			for i, row := range in.Rows {
				longer := append(Row(nil), row...)
				for k, p := range programs {
					v, err := p.Eval(row)
					if err != nil {
						out.Rejects = append(out.Rejects, in.Reject(i, config.Set[k].Key, err.Error()))
						continue rows
					}
					longer = append(longer, v)
				}
				out.Batch.Rows, out.Batch.Lines = append(out.Batch.Rows, longer), append(out.Batch.Lines, in.Line(i))
			}
			return out, nil
		}}, nil
	}}
}

func (l *lab) planSum(c *Check, config sumConfig) TransformPlan {
	column, _, _ := c.Column("column", config.Column)
	schema := MustSchema(Column{"rows", KindInt}, Column{"sum", KindInt})
	return TransformPlan{Schema: schema, New: func(env *Env) (Transform, error) {
		var rows, sum int64
		t := &rowTransform{lab: l, node: env.Node}
		t.apply = func(in Batch) (Output, error) {
			for _, row := range in.Rows {
				rows++
				sum += row[column].Int()
			}
			return Output{Held: len(in.Rows)}, nil
		}
		t.flush = func() Output { return Output{Batch: Batch{Schema: schema, Rows: []Row{{Int(rows), Int(sum)}}}} }
		return t, nil
	}}
}

// planPairs holds the rows of the left until the right has ended, and makes a
// row of the position and both for each row of the right.
func (l *lab) planPairs(c *Check, _ emptyConfig) TransformPlan {
	left, right := c.InputOf("left"), c.InputOf("right")
	schema, _ := c.Schema("", append(append([]Column{{"at", KindString}}, left.Columns()...), right.Columns()...)...)
	return TransformPlan{Schema: schema, New: func(*Env) (Transform, error) {
		return &pairs{schema: schema, rows: map[string][]Row{}}, nil
	}}
}

type pairs struct {
	schema Schema
	rows   map[string][]Row
	ended  []string
}

func (p *pairs) Apply(_ context.Context, in Batch) (Output, error) {
	p.rows[in.Input] = append(p.rows[in.Input], in.Rows...)
	return Output{Held: len(in.Rows)}, nil
}

func (p *pairs) InputEnded(_ context.Context, input string) (Output, error) {
	p.ended = append(p.ended, input)
	if len(p.ended) < 2 {
		return Output{}, nil
	}
	out := Batch{Schema: p.schema}
	for i, row := range p.rows["right"] {
		out.Rows = append(out.Rows, append(append(Row{String(fmt.Sprint(i))}, p.rows["left"][i]...), row...))
	}
	return Output{Batch: out}, nil
}

func (p *pairs) Flush(context.Context) (Output, error) {
	if len(p.ended) != 2 {
		return Output{}, errors.New("flushed before its inputs have ended")
	}
	return Output{}, nil
}

func (l *lab) planSink(c *Check, config emptyConfig) SinkPlan {
	return SinkPlan{New: func(env *Env) (Sink, error) {
		s := &memorySink{lab: l, node: env.Node}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.sinks[env.Node] = s
		return s, nil
	}}
}

// memorySink keeps rows, and remembers in which order it was told what.
type memorySink struct {
	lab    *lab
	node   string
	schema Schema
	rows   []Row
	told   []string
}

func (s *memorySink) tell(ctx context.Context, what string) error {
	s.lab.mu.Lock()
	s.told = append(s.told, what)
	s.lab.mu.Unlock()
	if s.lab.tell != nil {
		return s.lab.tell(ctx, s.node, what)
	}
	return nil
}

func (s *memorySink) Open(ctx context.Context, schema Schema) error {
	s.schema = schema
	return s.tell(ctx, "open")
}

func (s *memorySink) Write(ctx context.Context, b Batch) error {
	if s.lab.write != nil {
		if err := s.lab.write(ctx, s.node, b); err != nil {
			return err
		}
	}
	if !b.Schema.Equal(s.schema) {
		return errors.New("a batch of another schema")
	}
	s.lab.mu.Lock()
	defer s.lab.mu.Unlock()
	s.rows = append(s.rows, b.Rows...)
	return nil
}

func (s *memorySink) Prepare(ctx context.Context) error { return s.tell(ctx, "prepare") }
func (s *memorySink) Commit(ctx context.Context) error  { return s.tell(ctx, "commit") }
func (s *memorySink) Abort(ctx context.Context) error   { return s.tell(ctx, "abort") }

func (s *memorySink) Artifact() Artifact { return Artifact{Type: "memory", Path: s.node} }
