package workflow

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// FileBytesMax bounds the length of a definition.
const FileBytesMax = 1 << 20

// LoadOptions says how to read a definition.
type LoadOptions struct {
	// Registry holds the node types that the definition may use. Required.
	Registry *Registry
	// Inputs are values for the definition's inputs, as texts by name. An
	// input that is not among them has the default that the definition gives.
	Inputs map[string]string
	// Open lets inputs without a default stay without a value. Nodes that use them
	// are then checked less: what follows from the value shows when a run is
	// started. Such a definition can be deployed, and not be run by itself.
	Open bool
}

// LoadFile reads and validates the definition in a file of the operating
// system. Relative paths of sources are relative to the file's directory. What
// is wrong with the definition is returned as [Problems]; a file that cannot
// be read is a [fault.Error].
func LoadFile(file string, options LoadOptions) (*Definition, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	defer f.Close()
	return load(f, file, fileSet{dir: filepath.Dir(file)}, options)
}

// LoadFS is [LoadFile] for a definition in a file system such as one that is
// embedded in the program. Sources read their files from it, too.
func LoadFS(fsys fs.FS, file string, options LoadOptions) (*Definition, error) {
	f, err := fsys.Open(file)
	if err != nil {
		return nil, unreadable(file, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	return load(f, file, fileSet{fsys: fsys, dir: path.Dir(file)}, options)
}

// LoadText is [LoadFile] for a text that is in no file of this machine's own, such
// as one that came in by an API. Messages call it by name; relative paths of
// sources are relative to dir.
func LoadText(name, dir string, text []byte, options LoadOptions) (*Definition, error) {
	return loadBytes(text, name, fileSet{dir: dir}, options)
}

func load(f fs.File, name string, files fileSet, options LoadOptions) (*Definition, error) {
	text, err := io.ReadAll(io.LimitReader(f, FileBytesMax+1))
	if err != nil {
		return nil, unreadable(name, err)
	}
	d, err := loadBytes(text, name, files, options)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil {
		d.setInfo(info)
	}
	return d, nil
}

func loadBytes(text []byte, name string, files fileSet, options LoadOptions) (*Definition, error) {
	document, err := yamldoc.Parse(name, text, yamldoc.Limits{BytesMax: FileBytesMax})
	if err != nil {
		var errs yamldoc.Errors
		errors.As(err, &errs)
		return nil, Problems(errs)
	}
	l := loader{
		options: options, root: document.Root(),
		definition: &Definition{
			File: name, files: files, text: text, given: options.Inputs, registry: options.Registry,
		},
		stepEnv: sync.OnceValue(newStepEnv),
	}
	l.run()
	if problems := yamldoc.Join(l.problems); problems != nil {
		return nil, Problems(problems)
	}
	return l.definition, nil
}

func unreadable(file string, err error) error {
	code := fault.Unavailable
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code = fault.NotFound
	case errors.Is(err, fs.ErrPermission):
		code = fault.PermissionDenied
	case errors.Is(err, fs.ErrInvalid), errors.Is(err, syscall.EISDIR):
		code = fault.InvalidArgument
	}
	return &fault.Error{Code: code, Message: fileProblem(file, err)}
}

// The shape of a definition's text.
type (
	definitionText struct {
		Name         string                `yaml:"name,required" doc:"What the workflow is called."`
		Description  string                `yaml:"description" doc:"What it is for."`
		Inputs       Mapping[inputText]    `yaml:"inputs" doc:"Values that whoever runs the workflow may set."`
		Nodes        []nodeText            `yaml:"nodes,required" doc:"The nodes of the graph."`
		Rejects      string                `yaml:"rejects" doc:"CSV file for all rows that are set aside."`
		BatchRows    int                   `yaml:"batch_rows" doc:"Largest number of rows in a batch."`
		QueueBatches int                   `yaml:"queue_batches" doc:"Batches that may wait in front of a node."`
		Output       StepExpr              `yaml:"output" doc:"What a run gives out in the end."`
		Schedules    Mapping[scheduleText] `yaml:"schedules" doc:"When runs are started, by the names of the schedules; they follow the active version."`
		Triggers     Mapping[triggerText]  `yaml:"triggers" doc:"What runs are started for, by the names of the triggers; they follow the active version."`
	}
	inputText struct {
		Type    Kind         `yaml:"type,required" doc:"One of bool, int, float, string, date, time."`
		Default yamldoc.Node `yaml:"default" doc:"The value where none is given."`
		Doc     string       `yaml:"doc" doc:"What the value means."`
	}
	nodeText struct {
		ID   string       `yaml:"id,required" doc:"Name of the node, unique in the workflow."`
		Type string       `yaml:"type,required" doc:"Node type, such as source.csv or filter."`
		Doc  string       `yaml:"doc" doc:"What the node is for."`
		From references   `yaml:"from" doc:"The nodes whose rows come in, each as ID or ID.HANDLE; by the names of the inputs, if the type has several."`
		With yamldoc.Node `yaml:"with" doc:"The configuration of the node type."`

		After       references       `yaml:"after" doc:"The nodes after which it runs, each as ID or ID.HANDLE: ID.failed runs after a failure."`
		When        StepExpr         `yaml:"when" doc:"A condition; the node is skipped where it is false."`
		Retry       *retryText       `yaml:"retry" doc:"How attempts that fail are repeated."`
		Timeout     time.Duration    `yaml:"timeout" doc:"How long one attempt may take."`
		Heartbeat   time.Duration    `yaml:"heartbeat" doc:"A task that is not heard of for this long is tried again. 0: tasks need not be heard of."`
		Concurrency *concurrencyText `yaml:"concurrency" doc:"How many may be under way at a time."`
		Rate        *rateText        `yaml:"rate" doc:"How many may begin in a second."`
		Parallel    int              `yaml:"parallel" doc:"How many batches a transform works on at a time, if it looks at each row alone. Rows leave in their order."`
		Overflow    string           `yaml:"overflow" doc:"What happens to rows that come while queue_batches wait in front of the node: wait, drop or fail."`
		Priority    int              `yaml:"priority" doc:"Who goes first where nodes compete: the higher number."`
		Do          []nodeText       `yaml:"do" doc:"The nodes of a foreach or a loop."`
		Undo        *undoText        `yaml:"undo" doc:"A task that undoes the node if the run fails or is cancelled later."`
	}
	retryText struct {
		Max        *int          `yaml:"max" doc:"How many times more; 0: none. Default 3."`
		Initial    time.Duration `yaml:"initial" doc:"The delay before the first of them."`
		Cap        time.Duration `yaml:"cap" doc:"The longest delay."`
		Multiplier float64       `yaml:"multiplier" doc:"The growth of the delay."`
		On         string        `yaml:"on" doc:"Which failures: transient ones, or any."`
	}
	concurrencyText struct {
		Limit int    `yaml:"limit,required" doc:"How many at a time, in all runs of the engine."`
		Key   string `yaml:"key" doc:"Those with the same key share the limit. Default: this node of this workflow."`
	}
	rateText struct {
		PerSecond float64 `yaml:"per_second,required" doc:"How many may begin in a second, in all runs of the engine."`
		Burst     int     `yaml:"burst" doc:"How many may begin at once after a pause."`
		Key       string  `yaml:"key" doc:"Those with the same key share the rate. Default: this node of this workflow."`
	}
	undoText struct {
		Type    string        `yaml:"type,required" doc:"A task type."`
		With    yamldoc.Node  `yaml:"with" doc:"The configuration of the node type."`
		Timeout time.Duration `yaml:"timeout" doc:"How long one attempt may take."`
	}
)

// reference names the rows that come in by one edge.
type reference struct {
	input string // the named input that they come in by; empty: the only one
	text  string // ID or ID.HANDLE
	at    yamldoc.Node
}

// references is one reference, a list of them, or a mapping of named inputs to
// one or several.
type references []reference

// UnmarshalNode reads a text, a list of texts, or a mapping to those.
func (r *references) UnmarshalNode(d *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	*r = nil
	if !n.IsMapping() {
		return r.add("", d, n)
	}
	var named Mapping[yamldoc.Node]
	errs := d.Decode(n, &named)
	for _, item := range named {
		errs = append(errs, r.add(item.Key, d, item.Value)...)
	}
	return errs
}

// add reads what leads into one input.
func (r *references) add(input string, d *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsList() {
		var list []string
		errs := d.Decode(n, &list)
		elements := n.Elements()
		for i, text := range list {
			*r = append(*r, reference{input: input, text: text, at: elements[i]})
		}
		return errs
	}
	if n.IsNull() {
		return nil
	}
	if !n.IsString() {
		return yamldoc.Errors{n.Errorf("expected the id of a node, or a list of ids")}
	}
	*r = append(*r, reference{input: input, text: n.Text(), at: n})
	return nil
}

// YAMLType names the type in documentation.
func (r references) YAMLType() string { return "text, list of text, or mapping of input to those" }

// loader validates one definition. Each step reports all it finds and goes on
// with what is sound, so that one reading of the messages is enough.
type loader struct {
	options    LoadOptions
	root       yamldoc.Node
	text       definitionText
	definition *Definition
	problems   yamldoc.Errors
	nodes      []*graphNode
	byID       map[string]*graphNode
	top        []*graphNode // those in no loop
	stepEnv    func() *cel.Env
	unsure     bool // a reference is lost, so that a node may only seem unread
}

func (l *loader) report(n yamldoc.Node, hint, format string, args ...any) {
	err := n.Errorf(format, args...)
	err.Hint = hint
	l.problems = append(l.problems, err)
}

// reported tells whether a problem at the node's place is known already.
func (l *loader) reported(n yamldoc.Node) bool {
	return slices.ContainsFunc(l.problems, func(p *Problem) bool { return p.Pos == n.Pos() })
}

func (l *loader) run() {
	l.problems = l.root.Decode(&l.text)
	d := l.definition
	d.Name, d.Description, d.Rejects = l.text.Name, l.text.Description, l.text.Rejects
	if name, given := l.root.Get("name"); given && name.IsString() && d.Name == "" {
		l.report(name, "", "the name is empty")
	}
	d.BatchRows = l.limit("batch_rows", l.text.BatchRows, BatchRowsDefault, BatchRowsMax)
	d.QueueBatches = l.limit("queue_batches", l.text.QueueBatches, QueueBatchesDefault, QueueBatchesMax)
	l.loadInputs()
	l.loadDefined()
	l.loadNodes()
	l.connect()
	order, sorted := l.sort()
	if sorted {
		l.plan(order)
	}
	l.follow()
	for _, n := range l.nodes {
		d.Nodes = append(d.Nodes, n.Node)
		d.Edges = append(d.Edges, n.in...)
		d.After = append(d.After, n.after...)
	}
	if sorted {
		l.buildSteps()
	}
}

// limit checks a number that may be left out.
func (l *loader) limit(key string, value, byDefault, most int) int {
	n, given := l.root.Get(key)
	if !given {
		return byDefault
	}
	if (value < 1 || value > most) && !l.reported(n) {
		l.report(n, "", "expected a number from 1 to %d", most)
	}
	return cmp.Or(value, byDefault)
}
