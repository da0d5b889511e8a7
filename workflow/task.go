package workflow

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// TaskType is a node type that does something once: call a service, run a
// program. C is the struct that the node's with block is decoded into, see
// [SourceType].
//
// Texts of the with block may contain expressions over what the run knows, as
// ${{ steps.fetch.output.url }}; they are evaluated before each attempt. They
// do not see the columns of rows.
type TaskType[C any] struct {
	Name    string // begins with "task."
	Doc     string
	Example string // the YAML of a with block
	Default C      // the configuration before decoding
	// Literal are keys of the with block in which expressions are refused, such
	// as the text of a program, into which values must not be pasted.
	Literal []string
	// Check looks at a configuration, in which texts with expressions stand as
	// they are written. It reports what is wrong to c. It may be nil.
	Check func(c *Check, config C)
	// Run does the work of one attempt and returns the node's output, JSON or
	// nil. It ends with ctx. What it does must be repeatable: a crash can come
	// between its effect and the record of it, and then it is run again with the
	// same [Task.Key]. An error with a transient code is tried again as the
	// node's retry says.
	Run func(ctx context.Context, t *Task, config C) (json.RawMessage, error)
}

// Task is what a task has in hand while it runs.
type Task struct {
	// RunID is the run's id, Node the node's.
	RunID string
	Node  string
	// Iteration tells which of its runs it is in a loop or a foreach, the index
	// in the outermost first.
	Iteration []int
	// Attempt is which try it is, from 1.
	Attempt int
	// Key is the same for all attempts of one node in one run and iteration, and
	// for no other: an idempotency key for whoever is called.
	Key string
	// Input is the run's input of a name.
	Input func(name string) (Value, bool)
	// Log carries the run's and the node's ids.
	Log *slog.Logger
	// Dir is where relative paths of outputs begin.
	Dir string

	beat func()
}

// Heartbeat tells that the task is alive. A node with a heartbeat that hears
// nothing for that long is tried again.
func (t *Task) Heartbeat() {
	if t.beat != nil {
		t.beat()
	}
}

// taskFunc runs one attempt of a checked task.
type taskFunc func(ctx context.Context, t *Task, v stepVariables) (json.RawMessage, error)

// Info describes the type.
func (t TaskType[C]) Info() TypeInfo {
	return TypeInfo{
		Name: t.Name, Role: RoleTask, Doc: t.Doc, Outputs: []string{doneHandle, failedHandle},
		Config: yamldoc.Describe(t.Default), Example: t.Example,
	}
}

func (t TaskType[C]) config() any { return t.Default }

func (t TaskType[C]) decodeOnly(c *Check) {
	config := t.Default
	c.decode(&config)
}

func (t TaskType[C]) check(c *Check) plan {
	config := t.Default
	templates := c.templates(t.Literal)
	if !c.decode(&config) {
		return plan{}
	}
	if t.Check != nil {
		t.Check(c, config)
	}
	with, expand := c.with, c.expand
	if len(templates) == 0 {
		return plan{task: func(ctx context.Context, task *Task, _ stepVariables) (json.RawMessage, error) {
			return t.Run(ctx, task, config)
		}}
	}
	return plan{templated: true, task: func(ctx context.Context, task *Task, v stepVariables) (json.RawMessage, error) {
		config := t.Default
		decoder := yamldoc.Decoder{Expand: func(text string) (string, error) {
			tmpl := templates[text]
			text, err := expand(text) // of inputs; expressions are left as they are
			if tmpl == nil || err != nil {
				return text, err
			}
			return tmpl.expand(v)
		}}
		if errs := decoder.Decode(with, &config); errs != nil {
			return nil, Problems(errs)
		}
		return t.Run(ctx, task, config)
	}}
}

// taskKey is the idempotency key of what a node does in an iteration of a run.
func taskKey(runID, node string, iteration []int) string {
	if len(iteration) == 0 {
		return runID + "/" + node + "/0"
	}
	var b strings.Builder
	b.WriteString(runID + "/" + node + "/")
	for i, n := range iteration {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// templates compiles the expressions in the texts of a with block, by text.
// Mistakes are reported where they stand.
func (c *Check) templates(literal []string) map[string]*template {
	var found map[string]*template
	var walk func(n yamldoc.Node)
	walk = func(n yamldoc.Node) {
		switch {
		case n.IsMapping():
			for _, e := range n.Entries() {
				walk(e.Value)
			}
		case n.IsList():
			for _, e := range n.Elements() {
				walk(e)
			}
		case n.IsString() && strings.Contains(n.Text(), templateOpen):
			tmpl, mistake := parseTemplate(c.stepEnv(), n.Text())
			if mistake != nil {
				problem := n.Errorf("%s", mistake.message)
				problem.Hint, problem.Pos = mistake.hint, n.PosAt(mistake.offset)
				c.problems = append(c.problems, problem)
				return
			}
			if found == nil {
				found = map[string]*template{}
			}
			found[n.Text()] = tmpl
		}
	}
	for _, e := range c.with.Entries() {
		isLiteral := false
		for _, key := range literal {
			isLiteral = isLiteral || e.Key.Text() == key
		}
		if isLiteral {
			if e.Value.IsString() && strings.Contains(e.Value.Text(), templateOpen) {
				c.Report(e.Key.Text(), "expressions are not filled in here, so that no value can be taken for code", "pass the value by another key, such as env")
			}
			continue
		}
		walk(e.Value)
	}
	return found
}

// Limits of what a task gives out and of how long it may take.
const (
	// TaskOutputMax bounds the output of a node in bytes: larger data belongs in
	// a file or a table, and its address in the output.
	TaskOutputMax = 1 << 20
	// TaskTimeoutDefault is how long an attempt of a task may take where the
	// node says nothing.
	TaskTimeoutDefault = time.Hour
)
