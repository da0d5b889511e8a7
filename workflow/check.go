package workflow

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"cel.dev/cel-go/cel"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// Mapping is a field of a node type's configuration that is a mapping whose
// keys keep the order of the definition.
type Mapping[T any] = yamldoc.Ordered[T]

// KeyPath is the path of a key below path, for the methods of [Check]:
// KeyPath("columns", "date") is "columns.date".
func KeyPath(path, key string) string { return yamldoc.KeyPath(path, key) }

// IndexPath is the path of the element i, from 0, of the list at path.
func IndexPath(path string, i int) string { return yamldoc.IndexPath(path, i) }

// Check is what a node type's Plan has in hand while a definition is
// validated: the schema of the rows that will come in, and ways to report what
// is wrong. The paths its methods take lead from the node's "with" block to
// the value concerned ("columns.date", "by[0]"; "" is the block itself), and a
// report points at that value's line and column. Reports are collected; a Plan
// reports all that it finds. A Check is used by one goroutine and not kept
// after Plan has returned.
type Check struct {
	node     string
	with     yamldoc.Node // zero where the node has no with block
	at       yamldoc.Node // the node, for reports where there is no with block
	input    Schema
	inputs   map[string]Schema // of named inputs
	compiler *compiler
	files    fileSet
	expand   func(text string) (string, error)
	steps    func() *cel.Env // of expressions over what a run knows
	problems yamldoc.Errors
}

func (c *Check) stepEnv() *cel.Env { return c.steps() }

// Node is the id of the node being checked.
func (c *Check) Node() string { return c.node }

// Input is the schema of the rows that come in; a source has none, nor has a
// node of a type with named inputs.
func (c *Check) Input() Schema { return c.input }

// InputOf is the schema of the rows that come in by a named input.
func (c *Check) InputOf(name string) Schema { return c.inputs[name] }

// Failed reports whether anything was reported for this node.
func (c *Check) Failed() bool { return len(c.problems) > 0 }

func (c *Check) value(path string) yamldoc.Node {
	if c.with.IsZero() {
		return c.at
	}
	return c.with.At(path)
}

// Report adds a problem at path. The hint may be empty.
func (c *Check) Report(path, message, hint string) {
	err := c.value(path).Errorf("%s", message)
	err.Hint = hint
	c.problems = append(c.problems, err)
}

// Errorf adds a problem at path.
func (c *Check) Errorf(path, format string, args ...any) {
	c.Report(path, fmt.Sprintf(format, args...), "")
}

// Unknown adds the problem that the name at path is none of the known ones,
// with the closest of them as a suggestion. What says of what kind it is, such
// as "function".
func (c *Check) Unknown(path, what, name string, known []string) {
	c.problems = append(c.problems, c.value(path).Unknown(what, name, known))
}

// Column finds a column of the input by its name, which stands at path. If
// there is none, it reports that and returns false.
func (c *Check) Column(path, name string) (int, Column, bool) {
	i, ok := c.input.Index(name)
	if !ok {
		c.Unknown(path, "column", name, c.input.Names())
		return 0, Column{}, false
	}
	return i, c.input.Column(i), true
}

// Schema makes a schema. If the columns do not make one, it reports that at
// path and returns false.
func (c *Check) Schema(path string, columns ...Column) (Schema, bool) {
	s, err := NewSchema(columns...)
	if err != nil {
		c.Errorf(path, "%s", err)
		return Schema{}, false
	}
	return s, true
}

// Compile compiles the expression at path over the rows that come in. If it
// does not compile, each mistake is reported at its own place within the text,
// and the second result is false.
func (c *Check) Compile(path string, source Expr) (*Program, bool) {
	program, mistakes := c.compiler.compile(source, c.input)
	for _, m := range mistakes {
		n := c.value(path)
		problem := n.Errorf("%s", m.message)
		problem.Hint = m.hint
		if n.Text() == string(source) {
			problem.Pos = n.PosAt(m.offset)
		}
		c.problems = append(c.problems, problem)
	}
	return program, len(mistakes) == 0
}

// CompileTo is [Check.Compile] for an expression whose result has to be of a
// kind.
func (c *Check) CompileTo(path string, source Expr, kind Kind) (*Program, bool) {
	program, ok := c.Compile(path, source)
	if ok && program.Kind() != kind {
		c.Errorf(path, "the expression gives %s; expected %s", program.Kind(), kind)
		return nil, false
	}
	return program, ok
}

// Open opens a file that the definition names, as [Env.Open] will when the
// workflow runs, so that its header can be compared with what is declared. If
// it cannot be opened, that is reported at path.
func (c *Check) Open(path, file string) (fs.File, bool) {
	f, err := c.files.open(file)
	if err != nil {
		c.Errorf(path, "%s", fileProblem(file, err))
		return nil, false
	}
	return f, true
}

// InputPath is the path of a file that the definition names for reading, as
// [Env.InputPath] will give it. If there is none, that is reported at path.
func (c *Check) InputPath(path, file string) (string, bool) {
	name, err := c.files.path(file)
	if err != nil {
		c.Errorf(path, "%s", fileProblem(file, err))
		return "", false
	}
	return name, true
}

// fileProblem is the text of an error about a file, without what is said twice.
func fileProblem(file string, err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("no such file")
	}
	return "cannot open " + quote(file) + ": " + err.Error()
}

// decode fills the configuration of a node type from the with block.
func (c *Check) decode(config any) bool {
	if c.with.IsZero() {
		for _, f := range yamldoc.Describe(config) {
			if f.Required {
				c.problems = append(c.problems, &Problem{
					Pos: c.at.Pos(), Path: KeyPath(KeyPath(c.at.Path(), "with"), f.Name),
					Message: "the required key " + quote(f.Name) + " is missing", Hint: f.Doc,
				})
			}
		}
		return !c.Failed()
	}
	decoder := yamldoc.Decoder{Expand: c.expand}
	c.problems = append(c.problems, decoder.Decode(c.with, config)...)
	return !c.Failed()
}

func quote(s string) string { return strconv.Quote(s) }
