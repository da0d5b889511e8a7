package workflow

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// Role says what a node does with rows.
type Role string

// The roles of nodes. The name of a source type begins with "source.", that
// of a sink type with "sink.", and that of a transform with neither, so that
// nobody takes the one for the other.
const (
	RoleSource    Role = "source"    // reads rows; nothing leads into it
	RoleTransform Role = "transform" // changes rows
	RoleSink      Role = "sink"      // writes rows; nothing leads out of it
	RoleTask      Role = "task"      // does something once
	RoleControl   Role = "control"   // decides what runs, when, and how often
)

// rows reports whether nodes of the role have to do with rows.
func (r Role) rows() bool { return r == RoleSource || r == RoleTransform || r == RoleSink }

// Field describes one key of a node type's configuration.
type Field = yamldoc.Field

// TypeInfo describes a node type, for documentation.
type TypeInfo struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Doc says in a few sentences what nodes of the type do.
	Doc string `json:"doc"`
	// Inputs are the named inputs by which rows come in; none: there is but
	// one, without a name.
	Inputs []string `json:"inputs,omitempty"`
	// Outputs are the handles by which rows leave; "out" is the default one.
	Outputs []string `json:"outputs,omitempty"`
	// Config are the keys of the node's with block.
	Config []Field `json:"config"`
	// Example is the YAML of a with block.
	Example string `json:"example,omitempty"`
}

// Type is a node type: a [SourceType], [TransformType] or [SinkType].
type Type interface {
	// Info describes the type.
	Info() TypeInfo
	// check decodes the with block and plans the node.
	check(c *Check) plan
	// decodeOnly decodes the with block.
	decodeOnly(c *Check)
	// config is the struct of the with block with its defaults.
	config() any
}

// plan is how to run a checked node.
type plan struct {
	schemas map[string]Schema // of what leaves by each handle
	source  func(*Env) (Source, error)
	change  func(*Env) (Transform, error)
	sink    func(*Env) (Sink, error)
	task    taskFunc
	// templated: the task has expressions that are filled in before each attempt.
	templated bool
	control   *control
	receives  bool // entries of its journal may come from outside
	ends      bool // the end of its journal may
	batchRows int  // the most rows in a batch that leaves; 0: as the run has it
	// alone: each batch can be worked on without the others
	alone    bool
	parallel int      // batches that are worked on at a time; 0: one
	overflow Overflow // what happens to rows for which there is no room
}

// OutHandle is the handle by which rows leave a node unless an edge names
// another.
const OutHandle = "out"

// SourceType is a node type that reads rows. C is the struct that the node's
// with block is decoded into; its fields carry yaml and doc tags:
//
//	Path string `yaml:"path,required" doc:"File to read."`
type SourceType[C any] struct {
	Name    string // begins with "source."
	Doc     string
	Example string // the YAML of a with block
	Default C      // the configuration before decoding
	// Plan checks a configuration. It reports what is wrong to c, in which
	// case its result is not used, or tells how the node runs.
	Plan func(c *Check, config C) SourcePlan
}

// SourcePlan is how to run a source.
type SourcePlan struct {
	// Schema is that of every batch the source will read.
	Schema Schema
	// New makes the source of one run. It does no work that Open can do.
	New func(env *Env) (Source, error)
	// Receives: entries of its [Journal] may come from outside, see [RowsSignal].
	Receives bool
	// Ends: the end of its journal may come from outside, a signal without a payload
	// by the name of [RowsSignal]; it is an entry that is empty or null.
	Ends bool
}

// Info describes the type.
func (t SourceType[C]) Info() TypeInfo {
	return TypeInfo{
		Name: t.Name, Role: RoleSource, Doc: t.Doc, Outputs: []string{OutHandle},
		Config: yamldoc.Describe(t.Default), Example: t.Example,
	}
}

func (t SourceType[C]) config() any { return t.Default }

func (t SourceType[C]) decodeOnly(c *Check) {
	config := t.Default
	c.decode(&config)
}

func (t SourceType[C]) check(c *Check) plan {
	config := t.Default
	if !c.decode(&config) {
		return plan{}
	}
	p := t.Plan(c, config)
	return plan{schemas: map[string]Schema{OutHandle: p.Schema}, source: p.New, receives: p.Receives, ends: p.Ends || p.Receives}
}

// TransformType is a node type that changes rows. See [SourceType] for C.
type TransformType[C any] struct {
	Name    string
	Doc     string
	Example string   // the YAML of a with block
	Inputs  []string // the names of its inputs, if it has several
	Side    []string // handles beside "out" by which rows can leave
	Default C        // the configuration before decoding
	// Parallel: nodes may be given parallel. Then Apply is called by several
	// goroutines at a time, and what it gives out leaves in the order of the
	// batches. For transforms that look at each row alone.
	Parallel bool
	// Plan checks a configuration against the rows that come in, see
	// [Check.Input] and [Check.InputOf]. It reports what is wrong to c, in which case its result
	// is not used, or tells how the node runs.
	Plan func(c *Check, config C) TransformPlan
}

// TransformPlan is how to run a transform.
type TransformPlan struct {
	// Schema is that of every batch that will leave by the handle "out".
	Schema Schema
	// Side gives the schemas of the further handles of the type.
	Side map[string]Schema
	// BatchRows is the most rows in a batch that leaves. 0: as the run has it.
	BatchRows int
	// New makes the transform of one run.
	New func(env *Env) (Transform, error)
}

// Info describes the type.
func (t TransformType[C]) Info() TypeInfo {
	return TypeInfo{
		Name: t.Name, Role: RoleTransform, Doc: t.Doc, Inputs: t.Inputs, Outputs: append([]string{OutHandle}, t.Side...),
		Config: yamldoc.Describe(t.Default), Example: t.Example,
	}
}

func (t TransformType[C]) config() any { return t.Default }

func (t TransformType[C]) decodeOnly(c *Check) {
	config := t.Default
	c.decode(&config)
}

func (t TransformType[C]) check(c *Check) plan {
	config := t.Default
	if !c.decode(&config) {
		return plan{}
	}
	p := t.Plan(c, config)
	out := plan{schemas: map[string]Schema{OutHandle: p.Schema}, change: p.New, batchRows: p.BatchRows, alone: t.Parallel}
	for _, handle := range t.Side {
		out.schemas[handle] = p.Side[handle]
	}
	return out
}

// SinkType is a node type that writes rows. See [SourceType] for C.
type SinkType[C any] struct {
	Name    string // begins with "sink."
	Doc     string
	Example string // the YAML of a with block
	Default C      // the configuration before decoding
	// Plan checks a configuration against the rows that come in, see
	// [Check.Input]. It reports what is wrong to c, in which case its result
	// is not used, or tells how the node runs.
	Plan func(c *Check, config C) SinkPlan
}

// SinkPlan is how to run a sink.
type SinkPlan struct {
	// New makes the sink of one run. It does no work that Open can do.
	New func(env *Env) (Sink, error)
}

// Info describes the type.
func (t SinkType[C]) Info() TypeInfo {
	return TypeInfo{Name: t.Name, Role: RoleSink, Doc: t.Doc, Config: yamldoc.Describe(t.Default), Example: t.Example}
}

func (t SinkType[C]) config() any { return t.Default }

func (t SinkType[C]) decodeOnly(c *Check) {
	config := t.Default
	c.decode(&config)
}

func (t SinkType[C]) check(c *Check) plan {
	config := t.Default
	if !c.decode(&config) {
		return plan{}
	}
	return plan{sink: t.Plan(c, config).New}
}

// Registry holds the node types that definitions may use. It is filled at
// start-up; after that it is safe for concurrent use.
type Registry struct {
	types    map[string]Type
	triggers map[string]TriggerKind
}

// NewRegistry makes a registry of the given types, see [Registry.Add].
func NewRegistry(types ...Type) *Registry {
	r := &Registry{types: map[string]Type{}}
	r.Add(controlTypes()...)
	r.Add(types...)
	return r
}

var typeName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

// Add adds node types. It panics if a name is taken, is not of the form that
// the role asks for, or if the type has no documentation: all of them are
// mistakes of the program.
func (r *Registry) Add(types ...Type) {
	for _, t := range types {
		info := t.Info()
		prefix, _, _ := strings.Cut(info.Name, ".")
		prefixed := info.Role == RoleSource || info.Role == RoleSink || info.Role == RoleTask
		wrongPrefix := prefixed && prefix != string(info.Role) ||
			!prefixed && (prefix == string(RoleSource) || prefix == string(RoleSink) || prefix == string(RoleTask))
		switch {
		case !typeName.MatchString(info.Name) || wrongPrefix:
			panic(fmt.Sprintf("workflow: a %s type cannot be named %q", info.Role, info.Name))
		case info.Doc == "":
			panic(fmt.Sprintf("workflow: the node type %s has no documentation", info.Name))
		case r.types[info.Name] != nil:
			panic(fmt.Sprintf("workflow: the node type %s is registered twice", info.Name))
		}
		r.types[info.Name] = t
	}
}

// Types describes all node types: sources, transforms, sinks, tasks and control
// nodes, each by name.
func (r *Registry) Types() []TypeInfo {
	infos := make([]TypeInfo, 0, len(r.types))
	for _, t := range r.types {
		infos = append(infos, t.Info())
	}
	order := []Role{RoleSource, RoleTransform, RoleSink, RoleTask, RoleControl}
	slices.SortFunc(infos, func(a, b TypeInfo) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Role), slices.Index(order, b.Role)), cmp.Compare(a.Name, b.Name))
	})
	return infos
}

// Lookup describes the node type of a name.
func (r *Registry) Lookup(name string) (TypeInfo, bool) {
	t, ok := r.types[name]
	if !ok {
		return TypeInfo{}, false
	}
	return t.Info(), true
}

func (r *Registry) names() []string {
	names := make([]string, 0, len(r.types))
	for name := range r.types {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
