package workflow

import (
	"fmt"
	"reflect"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// celDateType is the type of a calendar day in expressions. CEL has none: its
// timestamp would turn a column of days into one of instants.
var celDateType = types.NewObjectType("date", traits.ComparerType|traits.AdderType|traits.SubtractorType)

// celDate is a calendar day in expressions, in days since 1970-01-01.
type celDate int64

const (
	dateMin celDate = -719162 // 0001-01-01
	dateMax celDate = 2932896 // 9999-12-31
)

func newCELDate(days int64) ref.Val {
	if d := celDate(days); d >= dateMin && d <= dateMax {
		return d
	}
	return types.NewErr("the date is outside of the years 1 to 9999")
}

func celDateOf(t time.Time) ref.Val { return celDate(Date(t).num) }

func (d celDate) time() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// Add adds days.
func (d celDate) Add(other ref.Val) ref.Val {
	days, ok := other.(types.Int)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	if days < types.Int(dateMin-dateMax) || days > types.Int(dateMax-dateMin) {
		return newCELDate(int64(dateMax) + 1)
	}
	return newCELDate(int64(d) + int64(days))
}

// Subtract gives the days between two dates, or the date some days earlier.
func (d celDate) Subtract(other ref.Val) ref.Val {
	switch other := other.(type) {
	case celDate:
		return types.Int(d - other)
	case types.Int:
		return d.Add(other.Negate())
	}
	return types.MaybeNoSuchOverloadErr(other)
}

// Compare orders dates.
func (d celDate) Compare(other ref.Val) ref.Val {
	o, ok := other.(celDate)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	return types.Int(d).Compare(types.Int(o))
}

// Equal compares dates.
func (d celDate) Equal(other ref.Val) ref.Val {
	o, ok := other.(celDate)
	return types.Bool(ok && d == o)
}

// ConvertToType gives the text and the midnight of a date.
func (d celDate) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(d.time().Format(time.DateOnly))
	case types.TimestampType:
		return types.Timestamp{Time: d.time()}
	case types.TypeType:
		return celDateType
	}
	return types.NewErr("a date is no %s", t.TypeName())
}

// ConvertToNative gives the midnight of a date as a [time.Time].
func (d celDate) ConvertToNative(t reflect.Type) (any, error) {
	if t == reflect.TypeFor[time.Time]() {
		return d.time(), nil
	}
	return nil, fmt.Errorf("a date is no %s", t)
}

// Type is the type of dates.
func (d celDate) Type() ref.Type { return celDateType }

// Value is the midnight of the date.
func (d celDate) Value() any { return d.time() }

// dateFunctions declares what expressions can do with dates. Operators need no
// implementation here: CEL finds it by the methods of the operands.
func dateFunctions() []cel.EnvOption {
	two := []*cel.Type{celDateType, celDateType}
	withDays := []*cel.Type{celDateType, cel.IntType}
	one := []*cel.Type{celDateType}
	options := []cel.EnvOption{
		cel.Function(operators.Add, cel.Overload("add_date_int", withDays, celDateType)),
		cel.Function(operators.Subtract,
			cel.Overload("subtract_date_int", withDays, celDateType),
			cel.Overload("subtract_date_date", two, cel.IntType)),
		cel.Function("date",
			cel.Overload("string_to_date", []*cel.Type{cel.StringType}, celDateType, cel.UnaryBinding(parseCELDate)),
			cel.Overload("timestamp_to_date", []*cel.Type{cel.TimestampType}, celDateType,
				cel.UnaryBinding(func(t ref.Val) ref.Val { return celDateOf(t.(types.Timestamp).Time) })),
			cel.Overload("date_to_date", one, celDateType, cel.UnaryBinding(func(d ref.Val) ref.Val { return d }))),
		cel.Function("timestamp", cel.Overload("date_to_timestamp", one, cel.TimestampType,
			cel.UnaryBinding(func(d ref.Val) ref.Val { return d.ConvertToType(types.TimestampType) }))),
		cel.Function("string", cel.Overload("date_to_string", one, cel.StringType,
			cel.UnaryBinding(func(d ref.Val) ref.Val { return d.ConvertToType(types.StringType) }))),
	}
	for _, op := range []string{operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals} {
		options = append(options, cel.Function(op, cel.Overload("date"+op+"date", two, cel.BoolType)))
	}
	return options
}

func parseCELDate(text ref.Val) ref.Val {
	v, err := ParseValue(KindDate, string(text.(types.String)))
	if err != nil {
		return types.WrapErr(err)
	}
	return toCEL(v)
}
