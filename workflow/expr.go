package workflow

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// Expr is the text of an expression over the columns of a row, in the Common
// Expression Language (https://cel.dev): temp_max > 20.0 && weather != 'sun'.
//
// A column is a variable of its name and type: bool, int, float (CEL's
// double), string, time (CEL's timestamp), and date. An input of the workflow
// is the variable inputs.NAME. Expressions are checked when the definition is
// read: unknown names and types that do not fit never reach a row. CEL does
// not mix int and double: write 1.0, or double(x).
//
// Nulls are SQL's. An operation on a null gives null; && and || give a value
// if the other side alone decides it (false && null is false); a condition
// that is null selects neither branch, so that the result is null. Comparing
// with null by == is refused; is_null(x) tells a null, coalesce(x, y) replaces
// it, and null_if(x, y) makes one where both are equal.
//
// Beside CEL's own functions and its extensions for strings and math there
// are: year(t), month(t) from 1 to 12, day(t) from 1 to 31, of a date or time;
// date('2012-01-31'), date(time), timestamp(date); date + int and date − date
// in days; round(x, digits).
type Expr string

// ExprMax bounds the length of an expression in bytes.
const ExprMax = 16 << 10

// Program is a compiled expression. It is immutable and safe for concurrent
// use.
type Program struct {
	source  Expr
	program cel.Program
	kind    Kind
	schema  Schema
}

// Kind is the type of the result.
func (p *Program) Kind() Kind { return p.kind }

// Source is the text that was compiled.
func (p *Program) Source() Expr { return p.source }

// Eval computes the result for a row of the schema that the expression was
// compiled for: a value of the program's kind, or null. An error, such as a
// division by zero, concerns this row alone.
func (p *Program) Eval(row Row) (Value, error) {
	result, _, err := p.program.Eval(&rowVariables{schema: p.schema, row: row})
	if err != nil {
		return Value{}, err
	}
	return fromCEL(result)
}

// Matches reports whether the result for a row is true. Null is not true. It
// is for programs of [KindBool].
func (p *Program) Matches(row Row) (bool, error) {
	v, err := p.Eval(row)
	return v.Bool(), err
}

// rowVariables resolves the names in an expression.
type rowVariables struct {
	schema Schema
	row    Row
}

// ResolveName gives the value of a column.
func (r *rowVariables) ResolveName(name string) (any, bool) {
	i, ok := r.schema.index[name]
	if !ok {
		return nil, false
	}
	return toCEL(r.row[i]), true
}

// Parent is nil: there are no other variables.
func (r *rowVariables) Parent() cel.Activation { return nil }

// null stands for a null inside of CEL. CEL's own null is a value that few
// operations accept; its unknown is what SQL's null is.
var null ref.Val = types.NewUnknown(0, nil)

func toCEL(v Value) ref.Val {
	switch v.kind {
	case KindBool:
		return types.Bool(v.num == 1)
	case KindInt:
		return types.Int(v.num)
	case KindFloat:
		return types.Double(v.Float())
	case KindString:
		return types.String(v.str)
	case KindDate:
		return celDate(v.num)
	case KindTime:
		return types.Timestamp{Time: v.Time()}
	}
	return null
}

func fromCEL(v ref.Val) (Value, error) {
	switch v := v.(type) {
	case *types.Unknown:
		return Value{}, nil
	case types.Bool:
		return Bool(bool(v)), nil
	case types.Int:
		return Int(int64(v)), nil
	case types.Double:
		return Float(float64(v)), nil
	case types.String:
		return String(string(v)), nil
	case celDate:
		return Value{kind: KindDate, num: int64(v)}, nil
	case types.Timestamp:
		return Time(v.Time), nil
	}
	return Value{}, fmt.Errorf("the result is a %s", v.Type().TypeName())
}

// celTypes gives the type that the values of a kind have in expressions. A
// column of nothing but nulls is a string column without strings.
var celTypes = map[Kind]*cel.Type{
	KindNull:   cel.StringType,
	KindBool:   cel.BoolType,
	KindInt:    cel.IntType,
	KindFloat:  cel.DoubleType,
	KindString: cel.StringType,
	KindDate:   celDateType,
	KindTime:   cel.TimestampType,
}

// kindOf finds the kind of a result.
func kindOf(t *cel.Type) (Kind, bool) {
	for k := KindBool; k <= KindTime; k++ {
		if celTypes[k].IsExactType(t) {
			return k, true
		}
	}
	return KindNull, false
}

// compiler compiles the expressions of one definition.
type compiler struct {
	base      *cel.Env
	inputs    []string // the names of the inputs' variables
	forSchema map[string]*cel.Env
}

// newCompiler prepares an environment with the inputs as constants. It cannot
// fail but by a mistake in the functions declared here.
func newCompiler(inputs []Input) *compiler {
	options := append(functions(),
		ext.Strings(), ext.Math(), cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(ExprMax), cel.ParserRecursionLimit(100))
	c := &compiler{forSchema: map[string]*cel.Env{}}
	for _, in := range inputs {
		c.inputs = append(c.inputs, "inputs."+in.Name)
		if in.Value.IsNull() { // it has no value, which is reported elsewhere
			options = append(options, cel.Variable("inputs."+in.Name, celTypes[in.Kind]))
			continue
		}
		options = append(options, cel.Constant("inputs."+in.Name, celTypes[in.Kind], toCEL(in.Value)))
	}
	var err error
	if c.base, err = cel.NewEnv(options...); err != nil {
		panic("workflow: expressions: " + err.Error())
	}
	return c
}

func (c *compiler) env(schema Schema) (*cel.Env, error) {
	key := schema.String()
	if env, ok := c.forSchema[key]; ok {
		return env, nil
	}
	variables := make([]cel.EnvOption, 0, schema.Len())
	for _, column := range schema.columns {
		variables = append(variables, cel.Variable(column.Name, celTypes[column.Kind]))
	}
	env, err := c.base.Extend(variables...)
	if err == nil {
		c.forSchema[key] = env
	}
	return env, err
}

// compile checks and compiles an expression over rows of a schema.
func (c *compiler) compile(source Expr, schema Schema) (*Program, []exprError) {
	if strings.TrimSpace(string(source)) == "" {
		return nil, []exprError{{message: "the expression is empty"}}
	}
	env, err := c.env(schema)
	if err != nil {
		return nil, []exprError{{message: err.Error()}}
	}
	parsed, issues := env.Parse(string(source))
	if issues.Err() != nil {
		return nil, explainIssues(string(source), issues)
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		x := explainer{source: string(source), parsed: parsed, schema: schema, inputs: c.inputs, env: env}
		return nil, x.explain(issues)
	}
	kind, ok := kindOf(checked.OutputType())
	if !ok {
		return nil, []exprError{{
			message: "the result is a " + checked.OutputType().String(),
			hint:    "expected bool, int, double, string, date or timestamp",
		}}
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, []exprError{{message: err.Error()}}
	}
	return &Program{source: source, program: program, kind: kind, schema: schema}, nil
}

// UnmarshalNode reads an expression, which need not be quoted: true and 1.5
// are expressions, too.
func (e *Expr) UnmarshalNode(_ *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsMapping() || n.IsList() || n.IsNull() {
		return yamldoc.Errors{n.Errorf("expected an expression")}
	}
	*e = Expr(n.Text())
	return nil
}

// YAMLType names the type in the documentation of node types.
func (e Expr) YAMLType() string { return "expression" }
