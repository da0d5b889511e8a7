package transform

import (
	"regexp"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/workflow"
)

// operand is where a value for a row comes from: a column as it stands or,
// which takes many times as long, an expression.
type operand struct {
	column  int
	program *workflow.Program // nil: the column
}

// operandOf makes the operand of a compiled expression.
func operandOf(schema workflow.Schema, program *workflow.Program) operand {
	name := strings.TrimSpace(string(program.Source()))
	if at, ok := schema.Index(name); ok && identifier.MatchString(name) && !slices.Contains(literals, name) {
		return operand{column: at}
	}
	return operand{program: program}
}

// A column whose name is written like one of the literals is no identifier.
var (
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	literals   = []string{"true", "false", "null"}
)

func (o operand) value(row workflow.Row) (workflow.Value, error) {
	if o.program == nil {
		return row[o.column], nil
	}
	return o.program.Eval(row)
}
