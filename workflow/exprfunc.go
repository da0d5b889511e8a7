package workflow

import (
	"math"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// functions declares what expressions can call beyond CEL's own functions.
func functions() []cel.EnvOption {
	any := cel.TypeParamType("T")
	options := []cel.EnvOption{
		cel.Function("is_null", cel.Overload("is_null_any", []*cel.Type{any}, cel.BoolType,
			cel.OverloadIsNonStrict(), cel.UnaryBinding(isNull))),
		cel.Function("null_if", cel.Overload("null_if_any_any", []*cel.Type{any, any}, any,
			cel.BinaryBinding(nullIf))),
		cel.Function("round", cel.Overload("round_double_int", []*cel.Type{cel.DoubleType, cel.IntType}, cel.DoubleType,
			cel.BinaryBinding(round))),
		coalesceFunction(any),
		calendarFunction("year", func(t time.Time) int { return t.Year() }),
		calendarFunction("month", func(t time.Time) int { return int(t.Month()) }),
		calendarFunction("day", func(t time.Time) int { return t.Day() }),
	}
	return append(options, dateFunctions()...)
}

func isNull(v ref.Val) ref.Val {
	if types.IsError(v) {
		return v
	}
	return types.Bool(types.IsUnknown(v))
}

func nullIf(v, w ref.Val) ref.Val {
	if v.Equal(w) == types.True {
		return null
	}
	return v
}

// coalesceFunction takes two to five values and gives the first that is not
// null.
func coalesceFunction(any *cel.Type) cel.EnvOption {
	const argumentsMax = 5
	var overloads []cel.FunctionOpt
	arguments := []*cel.Type{any}
	for n := 2; n <= argumentsMax; n++ {
		arguments = append(arguments, any)
		overloads = append(overloads, cel.Overload("coalesce_"+strconv.Itoa(n), append([]*cel.Type(nil), arguments...), any,
			cel.OverloadIsNonStrict(), cel.FunctionBinding(coalesce)))
	}
	return cel.Function("coalesce", overloads...)
}

func coalesce(values ...ref.Val) ref.Val {
	for _, v := range values {
		if !types.IsUnknown(v) {
			return v
		}
	}
	return null
}

// calendarFunction declares a function of a date or time.
func calendarFunction(name string, part func(time.Time) int) cel.EnvOption {
	return cel.Function(name,
		cel.Overload(name+"_date", []*cel.Type{celDateType}, cel.IntType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return types.Int(part(v.(celDate).time())) })),
		cel.Overload(name+"_timestamp", []*cel.Type{cel.TimestampType}, cel.IntType,
			cel.UnaryBinding(func(v ref.Val) ref.Val { return types.Int(part(v.(types.Timestamp).Time.UTC())) })))
}

// round gives the decimal number of the given digits that is nearest to v,
// halves away from zero. It goes by v's decimal form, so that round(2.675, 2)
// is what a reader of 2.675 expects.
func round(v, digits ref.Val) ref.Val {
	x, n := float64(v.(types.Double)), int64(digits.(types.Int))
	const digitsMax = 15
	if n < 0 || n > digitsMax {
		return types.NewErr("round takes from 0 to %d digits, not %d", digitsMax, n)
	}
	if math.IsNaN(x) || math.Abs(x) >= 1<<53 {
		return v
	}
	// Shifting the decimal exponent in the text multiplies without rounding.
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(x, 'e', -1, 64), "e")
	e, _ := strconv.Atoi(exponent)
	shifted, _ := strconv.ParseFloat(mantissa+"e"+strconv.Itoa(e+int(n)), 64)
	whole := strconv.FormatFloat(math.Round(shifted), 'f', 0, 64)
	rounded, _ := strconv.ParseFloat(whole+"e-"+strconv.FormatInt(n, 10), 64)
	return types.Double(rounded)
}
