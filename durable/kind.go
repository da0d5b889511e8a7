package durable

import (
	"strings"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
)

// Events, snapshots and answers have one field for their type and codec, which is
// "codec:type": both are needed to decode them.

func joinKind(m wire.Message) string { return m.Codec + ":" + m.Type }

func splitKind(kind string) (codec, name string) {
	codec, name, _ = strings.Cut(kind, ":")
	return codec, name
}

// causeOf is the Meta of events: the request and the trace that led to them, as
// lines of key=value for people.
func causeOf(m *store.Message) []byte {
	var b strings.Builder
	for _, pair := range [...][2]string{{"request", m.RequestID}, {"caller", m.CallerID}, {"trace", m.TraceID}, {"span", m.SpanID}} {
		if pair[1] != "" {
			b.WriteString(pair[0] + "=" + pair[1] + "\n")
		}
	}
	return []byte(b.String())
}
