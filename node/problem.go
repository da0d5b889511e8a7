package node

import (
	"strings"

	"github.com/troupe-dev/troupe/internal/yamldoc"
)

// A Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Where is the place of the wrong value: "troupe.yaml:3:9", the name of a
	// variable, or a flag. Empty for a Config made in code.
	Where string `json:"where,omitempty"`
	// Key is the setting, such as "http.port"; empty if it is not about one.
	Key string `json:"key,omitempty"`
	// Message says what was expected and what was found.
	Message string `json:"message"`
	// Hint says what to do. It may be empty.
	Hint string `json:"hint,omitempty"`
}

// String is one line: "where: key: message; hint".
func (p Problem) String() string {
	var parts []string
	for _, s := range []string{p.Where, p.Key, p.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	line := strings.Join(parts, ": ")
	if p.Hint != "" {
		line += "; " + p.Hint
	}
	return line
}

// Problems are all that is wrong with a configuration, the file's first, then
// variables, then flags. As an error it has at least one element.
type Problems []Problem

// Error has one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// err returns p as an error, nil if there is none.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// fromDocument turns the mistakes of a file into problems.
func fromDocument(errs yamldoc.Errors) Problems {
	var problems Problems
	for _, e := range errs {
		problems = append(problems, Problem{Where: e.Pos.String(), Key: e.Path, Message: e.Message, Hint: e.Hint})
	}
	return problems
}
