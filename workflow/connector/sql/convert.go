package sql

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/workflow"
)

// timeForms are how databases write times as text.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07", timeLayout, "2006-01-02T15:04:05.999999999",
}

// convert makes a value of a kind from one of a driver. The reason says why
// that is not possible.
func convert(kind workflow.Kind, raw any) (v workflow.Value, reason string) {
	switch raw := raw.(type) {
	case nil:
		return workflow.Null(), ""
	case bool:
		if kind == workflow.KindBool {
			return workflow.Bool(raw), ""
		}
		return convertText(kind, strconv.FormatBool(raw))
	case int64:
		return convertInt(kind, raw)
	case uint64:
		if raw > math.MaxInt64 && kind == workflow.KindInt {
			return v, fmt.Sprintf("%d is more than an integer of 64 bits with a sign holds", raw)
		}
		if kind == workflow.KindFloat {
			return workflow.Float(float64(raw)), ""
		}
		return convertText(kind, strconv.FormatUint(raw, 10))
	case float32:
		return convert(kind, float64(raw))
	case float64:
		return convertFloat(kind, raw)
	case time.Time:
		return convertTime(kind, raw)
	case []byte:
		return convertText(kind, string(raw))
	case string:
		return convertText(kind, raw)
	}
	return v, fmt.Sprintf("a value of the database's type %T cannot be read", raw)
}

func convertInt(kind workflow.Kind, i int64) (v workflow.Value, reason string) {
	switch kind {
	case workflow.KindInt:
		return workflow.Int(i), ""
	case workflow.KindFloat:
		return workflow.Float(float64(i)), ""
	case workflow.KindBool:
		if i == 0 || i == 1 {
			return workflow.Bool(i == 1), ""
		}
		return v, fmt.Sprintf("%d is neither 0 nor 1", i)
	}
	return convertText(kind, strconv.FormatInt(i, 10))
}

func convertFloat(kind workflow.Kind, f float64) (v workflow.Value, reason string) {
	const exact = 1 << 53
	switch {
	case kind == workflow.KindFloat:
		return workflow.Float(f), ""
	case kind == workflow.KindInt && f == math.Trunc(f) && math.Abs(f) <= exact:
		return workflow.Int(int64(f)), ""
	}
	return convertText(kind, strconv.FormatFloat(f, 'g', -1, 64))
}

func convertTime(kind workflow.Kind, t time.Time) (v workflow.Value, reason string) {
	switch kind {
	case workflow.KindDate:
		return workflow.Date(t), ""
	case workflow.KindTime:
		return workflow.Time(t), ""
	}
	return convertText(kind, workflow.Time(t).String())
}

func convertText(kind workflow.Kind, text string) (v workflow.Value, reason string) {
	switch kind {
	case workflow.KindString:
		if !utf8.ValidString(text) {
			return v, fmt.Sprintf("%d bytes that are not UTF-8; encode them in the query, as by hex()", len(text))
		}
		return workflow.String(text), ""
	case workflow.KindTime:
		for _, form := range timeForms {
			if t, err := time.Parse(form, text); err == nil {
				return workflow.Time(t), ""
			}
		}
	case workflow.KindDate:
		if day, _, found := strings.Cut(text, " "); found {
			text = day
		}
	}
	v, err := workflow.ParseValue(kind, strings.TrimSpace(text))
	if err != nil {
		return v, err.Error()
	}
	return v, ""
}
