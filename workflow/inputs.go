package workflow

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/internal/yamldoc"
)

var inputName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// loadInputs gives each input its value: the one in the options, or else its
// default.
func (l *loader) loadInputs() {
	d := l.definition
	for _, item := range l.text.Inputs {
		at := l.root.At(KeyPath("inputs", item.Key))
		if !inputName.MatchString(item.Key) {
			l.report(at, "", "an input cannot be named %q; expected small letters, digits and _", item.Key)
		}
		in := Input{Name: item.Key, Kind: item.Value.Type, Doc: item.Value.Doc}
		if given, ok := l.options.Inputs[in.Name]; ok {
			in.Value = l.parseInput(in, given)
		} else if def := item.Value.Default; def.IsZero() && l.options.Open {
			d.open = append(d.open, in.Name)
		} else if def.IsZero() {
			l.report(at, "give it a value, or the definition a default", "the input %q has no value", in.Name)
		} else if in.Kind != KindNull {
			in.Value = l.defaultInput(in, def)
		}
		d.Inputs = append(d.Inputs, in)
	}
	for _, name := range slices.Sorted(maps.Keys(l.options.Inputs)) {
		if !slices.ContainsFunc(d.Inputs, func(in Input) bool { return in.Name == name }) {
			l.problems = append(l.problems, &Problem{
				Pos: yamldoc.Pos{File: d.File}, Message: fmt.Sprintf("the workflow has no input %q", name),
				Hint: suggest.DidYouMean(name, l.inputNames()),
			})
		}
	}
}

func (l *loader) inputNames() []string {
	names := make([]string, len(l.definition.Inputs))
	for i, in := range l.definition.Inputs {
		names[i] = in.Name
	}
	return names
}

// parseInput reads a value that was given from outside: the definition is not
// at fault.
func (l *loader) parseInput(in Input, text string) Value {
	v, err := ParseValue(in.Kind, text)
	if err != nil {
		l.problems = append(l.problems, &Problem{
			Pos: yamldoc.Pos{File: l.definition.File}, Message: fmt.Sprintf("the value of the input %q: %s", in.Name, err),
		})
	}
	return v
}

func (l *loader) defaultInput(in Input, def yamldoc.Node) Value {
	if def.IsMapping() || def.IsList() || def.IsNull() {
		l.report(def, "", "expected a value of the type %s", in.Kind)
		return Value{}
	}
	v, err := ParseValue(in.Kind, def.Text())
	if err != nil {
		l.report(def, "", "%s", err)
	}
	return v
}

// expandInputs replaces each ${name} in a text of a with block by the input's
// value. $${ stands for ${ itself.
func (l *loader) expandInputs(text string) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			return out.String() + text, nil
		}
		if literal, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(literal + "${")
			text = after
			continue
		}
		if expr, ok := strings.CutPrefix(after, "{"); ok { // ${{ … }}, which is filled in when the node runs
			inside, rest, closed := strings.Cut(expr, templateClose)
			if !closed {
				return "", fmt.Errorf("%q is not closed; expected }} behind the expression", templateOpen+inside)
			}
			out.WriteString(before + templateOpen + inside + templateClose)
			text = rest
			continue
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return "", fmt.Errorf("%q has no closing brace; expected ${name}, or $${ for the text itself", "${"+name)
		}
		i := slices.IndexFunc(l.definition.Inputs, func(in Input) bool { return in.Name == name })
		if i < 0 {
			err := fmt.Errorf("unknown input %q", name)
			if meant := suggest.DidYouMean(name, l.inputNames()); meant != "" {
				err = fmt.Errorf("%w; %s", err, meant)
			}
			return "", err
		}
		out.WriteString(before + l.definition.Inputs[i].Value.String())
		text = rest
	}
}
