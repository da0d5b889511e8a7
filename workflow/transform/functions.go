package transform

import (
	"maps"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/workflow"
)

// countRows is the function that needs no expression.
const countRows = "count"

// function is an aggregate function.
type function struct {
	// takes are the kinds of values it can fold; none: all.
	takes []workflow.Kind
	// gives is the kind of the result for values of a kind; nil: int.
	gives func(workflow.Kind) workflow.Kind
	// start begins the fold of one group.
	start func(a *aggregate, kind workflow.Kind) accumulator
}

var (
	numbers = []workflow.Kind{workflow.KindInt, workflow.KindFloat}
	truth   = []workflow.Kind{workflow.KindBool}
)

func same(k workflow.Kind) workflow.Kind { return k }
func float(workflow.Kind) workflow.Kind  { return workflow.KindFloat }
func isInt(k workflow.Kind) bool         { return k == workflow.KindInt }

// functions are the aggregate functions by name. It is not changed.
var functions = map[string]*function{
	countRows:        {start: func(*aggregate, workflow.Kind) accumulator { return &count{} }},
	"count_if":       {takes: truth, start: func(*aggregate, workflow.Kind) accumulator { return &countIf{} }},
	"count_distinct": {start: func(a *aggregate, _ workflow.Kind) accumulator { return &countDistinct{kept: &a.distinct} }},
	"sum": {takes: numbers, gives: same, start: func(_ *aggregate, k workflow.Kind) accumulator {
		if isInt(k) {
			return &intSum{}
		}
		return &floatSum{}
	}},
	"avg": {takes: numbers, gives: float, start: func(_ *aggregate, k workflow.Kind) accumulator {
		if isInt(k) {
			return &intAvg{}
		}
		return &floatAvg{}
	}},
	"min":   {gives: same, start: func(*aggregate, workflow.Kind) accumulator { return &extreme{sign: 1} }},
	"max":   {gives: same, start: func(*aggregate, workflow.Kind) accumulator { return &extreme{sign: -1} }},
	"first": {gives: same, start: func(*aggregate, workflow.Kind) accumulator { return &first{} }},
	"last":  {gives: same, start: func(*aggregate, workflow.Kind) accumulator { return &last{} }},
}

var functionNames = slices.Sorted(maps.Keys(functions))

// kinds lists kinds for a message.
func kinds(list []workflow.Kind) string {
	names := make([]string, len(list))
	for i, k := range list {
		names[i] = k.String()
	}
	return strings.Join(names, " or ")
}
