package workflow

import (
	"io/fs"
	"reflect"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// Builder writes a definition in Go. What it builds is a document: the one that
// YAML with the same keys and values is, which [Definition.YAML] prints and
// [LoadFile] reads again, and of which the engine makes a version.
//
//	b := workflow.NewBuilder("orders")
//	least := b.Input("least", workflow.KindFloat).Default(workflow.Float(100))
//	orders := b.Node("orders", "source.csv", workflow.Config(csv.SourceConfig{Path: "orders.csv"}))
//	large := b.Node("large", "filter", workflow.Settings{workflow.Set("where", "total > "+least.Expr())}).From(orders)
//	b.Node("out", "sink.csv", workflow.Config(csv.SinkConfig{Path: "large.csv"})).From(large).Retry(retry.Policy{Max: 5})
//	definition, err := b.Build(".", workflow.LoadOptions{Registry: registry})
//
// Its methods never fail. [Builder.Build] finds all mistakes at once, those of the
// calls and those that LoadFile finds; each tells the node, the key, and the file
// and line of the call. The nodes of the workflow itself are made by the methods of
// [Scope]. A Builder is used by one goroutine; what it has built is independent of
// it.
type Builder struct {
	Scope

	name     string
	site     callSite
	settings []builtKey
	inputs   []*InputBuilder
	// schedules and triggers by name
	schedules []builtDefined
	triggers  []builtDefined
}

// builtDefined is a schedule or a trigger of the workflow.
type builtDefined struct {
	builtKey

	taken string // a field that only the workflow can fill in, and is filled in
}

// NewBuilder begins a workflow.
func NewBuilder(name string) *Builder {
	b := &Builder{name: name, site: caller()}
	b.builder = b
	return b
}

// builtKey is a key of the document and the call that gave it.
type builtKey struct {
	name  string
	value tree
	site  callSite
}

// put gives a key a value, instead of what it had.
func put(keys []builtKey, name string, value tree) []builtKey {
	k := builtKey{name, value, caller()}
	for i := range keys {
		if keys[i].name == name {
			keys[i] = k
			return keys
		}
	}
	return append(keys, k)
}

func (b *Builder) set(name string, value tree) *Builder {
	b.settings = put(b.settings, name, value)
	return b
}

// Description says what the workflow is for.
func (b *Builder) Description(text string) *Builder {
	return b.set("description", yamldoc.TextTree(text))
}

// Output is what a run gives out in the end.
func (b *Builder) Output(value StepExpr) *Builder { return b.set("output", yamldoc.TreeOf(value)) }

// Rejects names the CSV file for all rows that are set aside, in the output
// directory of the run. Default: there is none.
func (b *Builder) Rejects(file string) *Builder { return b.set("rejects", yamldoc.TextTree(file)) }

// BatchRows is the largest number of rows in a batch. Default
// [BatchRowsDefault].
func (b *Builder) BatchRows(rows int) *Builder { return b.set("batch_rows", yamldoc.TreeOf(rows)) }

// QueueBatches is how many batches may wait in front of a node. Default
// [QueueBatchesDefault].
func (b *Builder) QueueBatches(batches int) *Builder {
	return b.set("queue_batches", yamldoc.TreeOf(batches))
}

// InputBuilder is an input of a workflow that is being built.
type InputBuilder struct {
	name string
	site callSite
	keys []builtKey
}

// Input declares a value that whoever runs the workflow may set, and must set if
// it has no default.
func (b *Builder) Input(name string, kind Kind) *InputBuilder {
	in := &InputBuilder{name: name, site: caller()}
	in.keys = put(nil, "type", yamldoc.TreeOf(kind))
	b.inputs = append(b.inputs, in)
	return in
}

// Default is the value where none is given.
func (in *InputBuilder) Default(v Value) *InputBuilder {
	in.keys = put(in.keys, "default", v.tree())
	return in
}

// Doc says what the value means.
func (in *InputBuilder) Doc(text string) *InputBuilder {
	in.keys = put(in.keys, "doc", yamldoc.TextTree(text))
	return in
}

// Expr is how expressions name the input.
func (in *InputBuilder) Expr() string { return "inputs." + in.name }

// Text is how texts of with blocks name the input.
func (in *InputBuilder) Text() string { return "${" + in.name + "}" }

// Schedule has runs started at instants while the version is the active one. The
// name is relative to the workflow; Name, Workflow and Version of s stay empty.
func (b *Builder) Schedule(name string, s Schedule) *Builder {
	b.schedules = append(b.schedules, builtDefined{
		builtKey{name, yamldoc.TreeOf(scheduleTextOf(&s)), caller()}, takenField(s.Name, s.Workflow, s.Version),
	})
	return b
}

// Trigger has runs started for deliveries while the version is the active one. The
// name is relative to the workflow; Name, Workflow, Version and With of t stay
// empty. With is the configuration of its kind, such as webhook.Config.
func (b *Builder) Trigger(name string, t Trigger, with With) *Builder {
	value := yamldoc.TreeOf(triggerText{
		Kind: t.Kind, Inputs: textInputs(t.Inputs), Key: t.Key, Priority: t.Priority, Dedup: t.Dedup, Paused: t.Paused, Comment: t.Comment,
	})
	if with != nil {
		block, _ := with.with()
		value.Keys = append(value.Keys, yamldoc.TreeKey{Name: "with", Value: block})
	}
	taken := takenField(t.Name, t.Workflow, t.Version)
	if len(t.With) > 0 {
		taken = "With"
	}
	b.triggers = append(b.triggers, builtDefined{builtKey{name, value, caller()}, taken})
	return b
}

func takenField(name, workflow string, version int64) string {
	switch {
	case name != "":
		return "Name"
	case workflow != "":
		return "Workflow"
	case version != 0:
		return "Version"
	}
	return ""
}

// Build checks what was built and gives the definition. Relative paths of sources
// begin at dir. What is wrong is returned as [Problems], whose positions are those
// of the calls of the builder.
//
// The definition's File is the name of the workflow with the ending .yaml: what
// the engine has to say of it later points into what [Definition.YAML] prints.
func (b *Builder) Build(dir string, options LoadOptions) (*Definition, error) {
	return b.build(fileSet{dir: dir}, options)
}

// BuildFS is [Builder.Build] for sources that read their files from a file system,
// such as one that is embedded in the program; see [EngineOptions].Files.
func (b *Builder) BuildFS(fsys fs.FS, dir string, options LoadOptions) (*Definition, error) {
	return b.build(fileSet{fsys: fsys, dir: dir}, options)
}

func (b *Builder) build(files fileSet, options LoadOptions) (*Definition, error) {
	a := assembly{
		registry: options.Registry, sites: map[string]callSite{}, names: map[string]string{}, silent: map[string]bool{}, lost: map[string]bool{},
		ids: map[string]callSite{},
	}
	text, err := canonicalDocument(a.document(b), options.Registry).YAML()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "workflow.Builder.Build", err)
	}
	file := b.name + ".yaml"
	d, err := loadBytes(text, file, files, options)
	if problems, ok := err.(Problems); ok { //nolint:errorlint // which is what loadBytes gives
		a.take(problems)
	} else if err != nil {
		return nil, err
	}
	if problems := yamldoc.Join(a.problems); problems != nil {
		return nil, Problems(problems)
	}
	return d, nil
}

// Settings are the keys of a with block, in order: the configuration of a node
// whose type has no struct at hand. See [Config] for one that has.
type Settings []Setting

// Setting is one of [Settings].
type Setting struct {
	Key   string
	Value SettingValue
}

// SettingValue is the value of a [Setting]: a [Value], a [List], or [Settings].
type SettingValue interface{ tree() tree }

// List is a list of values in a [Setting].
type List []SettingValue

// Settable are the types that [Set] takes.
type Settable interface {
	string | bool | int | int64 | float64 | Value | List | Settings | []string
}

// Set is a key with its value. A duration is a text, such as 30s.
func Set[V Settable](key string, value V) Setting {
	if own, ok := any(value).(SettingValue); ok {
		return Setting{key, own}
	}
	return Setting{key, plainSetting{yamldoc.TreeOf(value)}}
}

// plainSetting is a value that [Set] has written already.
type plainSetting struct{ value tree }

func (p plainSetting) tree() tree { return p.value }

func (s Settings) tree() tree {
	t := tree{Tag: yamldoc.TagMap}
	for _, k := range s {
		t.Keys = append(t.Keys, yamldoc.TreeKey{Name: k.Key, Value: treeOrNull(k.Value)})
	}
	return t
}

func (l List) tree() tree {
	t := tree{Tag: yamldoc.TagList}
	for _, e := range l {
		t.List = append(t.List, treeOrNull(e))
	}
	return t
}

func treeOrNull(v SettingValue) tree {
	if v == nil {
		return tree{Tag: yamldoc.TagNull}
	}
	return v.tree()
}

// tree is the value as it stands in a definition.
func (v Value) tree() tree {
	switch v.Kind() {
	case KindNull:
		return tree{Tag: yamldoc.TagNull}
	case KindBool:
		return yamldoc.TreeOf(v.Bool())
	case KindInt:
		return yamldoc.TreeOf(v.Int())
	case KindFloat:
		return yamldoc.TreeOf(v.Float())
	}
	return yamldoc.TextTree(v.String())
}

// With is the configuration of a node: [Settings], or what [Config] makes of the
// struct of a type. Nil is a node without a with block.
type With interface {
	with() (block tree, config reflect.Type)
}

func (s Settings) with() (tree, reflect.Type) { return s.tree(), nil } //nolint:unparam // as With has it

// configured is the struct of a node type as a with block.
type configured struct {
	block  tree
	config reflect.Type
}

func (c configured) with() (tree, reflect.Type) { return c.block, c.config }

// Config is a with block from the struct that a node type reads it into, such as
// csv.SourceConfig for source.csv. Fields that hold their zero value are left out:
// the type's default holds there. The further settings stand beside them, such as
// one that is zero where the default is not.
//
// It panics if C is not a struct, or one that no with block can be read into.
func Config[C any](config C, further ...Setting) With {
	t := reflect.TypeFor[C]()
	if t.Kind() != reflect.Struct {
		panic("workflow: Config takes the struct of a node type, not a " + t.String())
	}
	block := yamldoc.TreeOf(config)
	block.Keys = append(block.Keys, Settings(further).tree().Keys...)
	return configured{block, t}
}
