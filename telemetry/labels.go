package telemetry

import (
	"strings"
	"unicode/utf8"
)

const (
	// MaxTypes is how many actor types are told apart. The types beyond it, in
	// the order in which they appear, are counted together as [OtherTypes]: a
	// label must not have any number of values.
	MaxTypes = 200
	// OtherTypes is the label of the types beyond MaxTypes.
	OtherTypes = "other"

	// A label longer than this many bytes is cut.
	maxLabelBytes = 128
)

// labels gives each actor type its label, and keeps to it: a type that moved
// from one label to another would make counters fall. The zero value is ready
// for use, by one goroutine at a time.
type labels struct{ known map[string]string }

func (l *labels) of(name string) string {
	if label, ok := l.known[name]; ok {
		return label
	}
	if len(l.known) >= MaxTypes {
		return OtherTypes
	}
	if l.known == nil {
		l.known = map[string]string{}
	}
	label := cleanLabel(name)
	l.known[name] = label
	return label
}

// cleanLabel makes valid UTF-8 of bounded length out of a name.
func cleanLabel(name string) string {
	label := strings.ToValidUTF8(name, "\uFFFD")
	if len(label) <= maxLabelBytes {
		return label
	}
	label = label[:maxLabelBytes]
	for !utf8.ValidString(label) {
		label = label[:len(label)-1]
	}
	return label
}
