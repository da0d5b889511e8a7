package workflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"

	"github.com/troupe-dev/troupe/internal/suggest"
)

// stepProgram is a compiled expression over what a run knows: inputs, the
// results of steps, the item of a foreach. It is pure: the same run gives the
// same result whenever it is evaluated, so that a history can be replayed.
type stepProgram struct {
	source  string
	program cel.Program
}

// stepVariables are the names that such an expression can use.
//
//	inputs.NAME        the run's inputs
//	steps.ID.output    what a node that completed gave out
//	steps.ID.state     completed, failed, skipped, …
//	steps.ID.error     why it failed
//	item, index        in a foreach: the item, and its number from 0
//	iteration, last    in a loop: the number from 0, and the output of the one before
//	run.id, run.key    the run
//	signal             what came with a signal, where one was received
//	json(text)         what a text means that is JSON
//	schedule.time      the instant of the schedule that started the run; of a run
//	                   that none started, when it was started
type stepVariables interface {
	// variable gives the value of a name, as JSON decodes it.
	variable(name string) (any, bool)
}

var stepNames = []string{"inputs", "steps", "item", "index", "iteration", "last", "run", "schedule"}

func newStepEnv() *cel.Env { return newExprEnv(stepNames) }

// newExprEnv makes the environment of expressions over some names.
func newExprEnv(names []string) *cel.Env {
	options := []cel.EnvOption{
		ext.Strings(), ext.Math(), ext.Lists(), cel.DefaultUTCTimeZone(true), cel.OptionalTypes(),
		cel.ParserExpressionSizeLimit(ExprMax), cel.ParserRecursionLimit(100),
		cel.CrossTypeNumericComparisons(true), parseFunction(),
	}
	for _, name := range names {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		panic("workflow: expressions of steps: " + err.Error())
	}
	return env
}

// parseFunction is json(text): what a text means that is JSON, such as an input with
// the messages of a batch.
func parseFunction() cel.EnvOption {
	return cel.Function("json", cel.Overload("json_string_dyn", []*cel.Type{cel.StringType}, cel.DynType, cel.UnaryBinding(func(v ref.Val) ref.Val {
		text, _ := v.Value().(string)
		if !json.Valid([]byte(text)) {
			return types.NewErr("json: the text is no JSON: %.40q", text)
		}
		return types.DefaultTypeAdapter.NativeToValue(value(json.RawMessage(text)))
	})))
}

// compileStep compiles an expression over what a run knows.
func compileStep(env *cel.Env, source string) (*stepProgram, *exprError) {
	if strings.TrimSpace(source) == "" {
		return nil, &exprError{message: "the expression is empty"}
	}
	parsed, issues := env.Parse(source)
	if issues.Err() != nil {
		return nil, &explainIssues(source, issues)[0]
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		e := &exprError{offset: offsetOf(source, first.Location.Line(), first.Location.Column()), message: first.Message}
		if m := undeclared.FindStringSubmatch(first.Message); m != nil {
			name := strings.TrimPrefix(m[1], ".")
			e.message = "unknown name " + quote(name)
			known := namesOf(env)
			if e.hint = suggest.DidYouMean(name, known); e.hint == "" {
				e.hint = "the expression sees " + strings.Join(known, ", ")
			}
		}
		return nil, e
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(stepCostMax))
	if err != nil {
		return nil, &exprError{message: err.Error()}
	}
	return &stepProgram{source: source, program: program}, nil
}

// namesOf lists the names that expressions of an environment can use.
func namesOf(env *cel.Env) []string {
	var names []string
	for _, v := range env.Variables() {
		if v.Type().Kind() == types.DynKind {
			names = append(names, v.Name())
		}
	}
	return names
}

// stepCostMax bounds the work of one evaluation, which holds up the run.
const stepCostMax = 10_000_000

// eval computes the expression. The error is the definition's or the data's
// fault, and INVALID_ARGUMENT where it becomes that of a node.
func (p *stepProgram) eval(v stepVariables) (ref.Val, error) {
	result, _, err := p.program.Eval(stepActivation{v})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.source, err)
	}
	return result, nil
}

// isTrue evaluates a condition.
func (p *stepProgram) isTrue(v stepVariables) (bool, error) {
	result, err := p.eval(v)
	if err != nil {
		return false, err
	}
	b, ok := result.(types.Bool)
	if !ok {
		return false, fmt.Errorf("%s: the result is a %s; expected true or false", p.source, result.Type().TypeName())
	}
	return bool(b), nil
}

// json evaluates the expression to JSON.
func (p *stepProgram) json(v stepVariables) (json.RawMessage, error) {
	result, err := p.eval(v)
	if err != nil {
		return nil, err
	}
	native, err := nativeJSON(result)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.source, err)
	}
	return marshalJSON(native)
}

// text evaluates the expression to a text, for the inside of a text.
func (p *stepProgram) text(v stepVariables) (string, error) {
	result, err := p.eval(v)
	if err != nil {
		return "", err
	}
	if s, ok := result.(types.String); ok {
		return string(s), nil
	}
	native, err := nativeJSON(result)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.source, err)
	}
	out, err := marshalJSON(native)
	return string(out), err
}

// marshalJSON is json.Marshal without the escapes for HTML.
func marshalJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

type stepActivation struct{ v stepVariables }

// ResolveName gives the value of a variable.
func (a stepActivation) ResolveName(name string) (any, bool) { return a.v.variable(name) }

// Parent is nil: there are no other variables.
func (stepActivation) Parent() cel.Activation { return nil }

// decodeJSON decodes JSON for expressions: whole numbers become ints.
func decodeJSON(data json.RawMessage) (any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return wholeNumbers(v), nil
}

func wholeNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64() // the decoder has checked its form; what is too large is infinite
		return f
	case []any:
		for i := range v {
			v[i] = wholeNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = wholeNumbers(v[k])
		}
	}
	return v
}

// nativeJSON turns the result of an expression into what JSON can write.
func nativeJSON(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Null:
		return nil, nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Uint:
		return uint64(v), nil
	case types.Double:
		f := float64(v)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("JSON has no number for %v", f)
		}
		return f, nil
	case types.String:
		return string(v), nil
	case types.Bytes:
		return []byte(v), nil
	case types.Timestamp:
		return v.Time, nil
	case types.Duration:
		return v.Duration.String(), nil
	case traits.Mapper:
		out := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			name, ok := key.(types.String)
			if !ok {
				return nil, fmt.Errorf("a key of a map is a %s; expected a text", key.Type().TypeName())
			}
			element, err := nativeJSON(v.Get(key))
			if err != nil {
				return nil, err
			}
			out[string(name)] = element
		}
		return out, nil
	case traits.Lister:
		out := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			element, err := nativeJSON(it.Next())
			if err != nil {
				return nil, err
			}
			out = append(out, element)
		}
		return out, nil
	}
	return nil, fmt.Errorf("the result is a %s, which JSON has no form for", v.Type().TypeName())
}

// template is a text with expressions in it: "order ${{ item.id }}". A text
// that is nothing but one expression stands for its value.
type template struct {
	parts []templatePart
}

type templatePart struct {
	text    string
	program *stepProgram // nil: the text stands for itself
}

const (
	templateOpen  = "${{"
	templateClose = "}}"
)

// parseTemplate finds the expressions in a text. The offset of an error counts
// from the beginning of the text. A text without any gives nil.
func parseTemplate(env *cel.Env, text string) (*template, *exprError) {
	t := &template{}
	for at := 0; ; {
		open := strings.Index(text[at:], templateOpen)
		if open < 0 {
			if at == 0 {
				return nil, nil
			}
			t.add(text[at:], nil)
			return t, nil
		}
		t.add(text[at:at+open], nil)
		start := at + open + len(templateOpen)
		length := strings.Index(text[start:], templateClose)
		if length < 0 {
			return nil, &exprError{offset: at + open, message: `"${{" is not closed`, hint: `expected }} behind the expression`}
		}
		program, mistake := compileStep(env, text[start:start+length])
		if mistake != nil {
			mistake.offset += start
			return nil, mistake
		}
		t.add("", program)
		at = start + length + len(templateClose)
	}
}

func (t *template) add(text string, p *stepProgram) {
	if text != "" || p != nil {
		t.parts = append(t.parts, templatePart{text, p})
	}
}

// expand fills in the values.
func (t *template) expand(v stepVariables) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.program == nil {
			b.WriteString(p.text)
			continue
		}
		text, err := p.program.text(v)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
