package workflow

import (
	"io/fs"
	"maps"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// Limits and defaults of a definition.
const (
	// NodesMax bounds the nodes of a definition.
	NodesMax = 1000
	// BatchRowsDefault is the number of rows in a batch where the definition
	// says nothing.
	BatchRowsDefault = 1000
	// BatchRowsMax bounds the rows of a batch.
	BatchRowsMax = 100_000
	// QueueBatchesDefault is the number of batches that may wait in front of a
	// node where the definition says nothing.
	QueueBatchesDefault = 8
	// QueueBatchesMax bounds the batches that may wait in front of a node.
	QueueBatchesMax = 1000
	// DepthMax bounds how many loops may lie in one another.
	DepthMax = 5
)

// Definition is a workflow that has been read and validated: [Start] runs it.
// It is immutable and safe for concurrent use, and may run several times, also
// at the same time.
type Definition struct {
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	File        string  `json:"file"`
	Inputs      []Input `json:"inputs,omitempty"`
	// Nodes stand in the order of the definition.
	Nodes []Node `json:"nodes"`
	// Edges are sorted by the order of the nodes they lead into.
	Edges []Edge `json:"edges"`
	// After are the edges of control: who runs after whom.
	After []Dependency `json:"after,omitempty"`
	// Schedules and Triggers are the definition's own. They start runs while the
	// version is the active one; their names begin with that of the workflow and ':'.
	Schedules []Schedule `json:"schedules,omitempty"`
	Triggers  []Trigger  `json:"triggers,omitempty"`
	// Rejects is the file that gets every row that is set aside, in the output
	// directory of the run; empty if there is none.
	Rejects string `json:"rejects,omitempty"`
	// BatchRows is the largest number of rows in a batch.
	BatchRows int `json:"batch_rows"`
	// QueueBatches is how many batches may wait in front of a node before
	// those that feed it have to wait.
	QueueBatches int `json:"queue_batches"`

	order    []string            // ids of the nodes, each after those that feed it
	plans    map[string]plan     // by node id
	text     []byte              // as it was read
	registry *Registry           // of the types of its nodes
	given    map[string]string   // values for inputs
	open     []string            // inputs without a value, see LoadOptions.Open
	steps    *scopeDef           // what runs
	stepOf   map[string]*stepDef // by node id
	output   *stepProgram        // what a run gives out, or nil
	files    fileSet
	info     fs.FileInfo // of the definition's own file, nil if it is not known
}

// setInfo notes the file that the definition was read from, so that no sink takes
// its place.
func (d *Definition) setInfo(info fs.FileInfo) {
	d.info = info
	for _, s := range flowsOf(d.steps, nil) {
		s.flow.info = info
	}
}

// Given are the values that [LoadOptions.Inputs] gave for inputs.
func (d *Definition) Given() map[string]string { return maps.Clone(d.given) }

// Input is a value that a definition leaves to who runs it. Texts in with
// blocks refer to it by ${name}, expressions by inputs.name.
type Input struct {
	Name  string `json:"name"`
	Kind  Kind   `json:"type"`
	Doc   string `json:"doc,omitempty"`
	Value Value  `json:"value"`
}

// Node is one node of a definition.
type Node struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Role Role   `json:"role"`
	Doc  string `json:"doc,omitempty"`
	// Parent is the foreach or loop that the node lies in, if it lies in one.
	Parent string `json:"parent,omitempty"`
	// Schema is that of the rows which leave by the handle "out"; for a sink,
	// of those it writes.
	Schema Schema `json:"schema"`
}

// Edge leads from a handle of one node to another node. Several edges may
// leave a handle: each takes all rows. Several may lead into a node: it takes
// the rows as they come.
type Edge struct {
	From   string `json:"from"`
	Handle string `json:"handle"`
	To     string `json:"to"`
	// Input is the named input of To that the rows come in by; empty if it has
	// but one.
	Input  string `json:"input,omitempty"`
	Schema Schema `json:"schema"`
}

// Dependency says that a node runs after another one has ended, and by which
// of its handles.
type Dependency struct {
	From   string `json:"from"`
	Handle string `json:"handle"`
	To     string `json:"to"`
}

// Problem is one mistake in a definition: where it stands, what is wrong, what
// was expected, and a suggestion.
type Problem = yamldoc.Error

// Problems is the error of a definition that is not valid: all its mistakes by
// position. It prints one line for each, and has the code INVALID_ARGUMENT.
type Problems []*Problem

// Error has one line for each problem.
func (p Problems) Error() string { return yamldoc.Errors(p).Error() }

// Unwrap gives the problems to errors.Is and errors.As.
func (p Problems) Unwrap() []error { return yamldoc.Errors(p).Unwrap() }

// FaultCode classifies the error, see [fault.CodeOf].
func (p Problems) FaultCode() fault.Code { return fault.InvalidArgument }
