package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/service/options"
)

// methodOptions are the options of a method, checked.
type methodOptions struct {
	timeout    time.Duration // 0: the default
	durable    bool
	idempotent bool
	key        []*protogen.Field // the path to the key, nil: none
}

// readOptions reads the options of a method. Mistakes have file:line:col.
func readOptions(m *protogen.Method) (methodOptions, error) {
	o := methodOptions{}
	if m.Desc.IsStreamingClient() || m.Desc.IsStreamingServer() {
		return o, mistake(m, "is a stream; services of actors have calls with one request and one response only")
	}
	raw, ok := proto.GetExtension(m.Desc.Options(), options.E_Method).(*options.MethodOptions)
	if !ok || raw == nil {
		return o, nil
	}
	o.durable, o.idempotent = raw.GetDurable(), raw.GetIdempotent()
	if text := raw.GetTimeout(); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return o, mistake(m, "has the timeout %q; expected a duration above zero such as \"500ms\", \"5s\" or \"1m30s\"", text)
		}
		o.timeout = d
	}
	if path := raw.GetKey(); path != "" {
		key, err := keyPath(m.Input, path)
		if err != nil {
			return o, mistake(m, "has the key %q: %v", path, err)
		}
		o.key = key
	}
	return o, nil
}

// keyPath finds the fields of a path such as "order.id".
func keyPath(in *protogen.Message, path string) ([]*protogen.Field, error) {
	var fields []*protogen.Field
	names := strings.Split(path, ".")
	for i, name := range names {
		at := slices.IndexFunc(in.Fields, func(f *protogen.Field) bool { return string(f.Desc.Name()) == name })
		if at < 0 {
			return nil, unknownField(in, name)
		}
		f := in.Fields[at]
		fields = append(fields, f)
		last := i == len(names)-1
		switch {
		case f.Desc.IsList() || f.Desc.IsMap():
			return nil, fmt.Errorf("field %s has many values", name)
		case f.Message != nil && last:
			return nil, fmt.Errorf("field %s is the message %s; name one of its fields", name, f.Message.Desc.FullName())
		case f.Message == nil && !last:
			return nil, fmt.Errorf("field %s is no message and has no fields", name)
		case f.Desc.Kind() == protoreflect.DoubleKind || f.Desc.Kind() == protoreflect.FloatKind:
			return nil, fmt.Errorf("field %s is a floating-point number, which makes a bad key", name)
		}
		in = f.Message
	}
	return fields, nil
}

func unknownField(m *protogen.Message, name string) error {
	var names []string
	for _, f := range m.Fields {
		names = append(names, string(f.Desc.Name()))
	}
	text := fmt.Sprintf("%s has no field %q", m.Desc.FullName(), name)
	switch hint := suggest.DidYouMean(name, names); {
	case hint != "":
		text += "; " + hint
	case len(names) > 0:
		text += "; its fields are " + strings.Join(names, ", ")
	}
	return fmt.Errorf("%s", text)
}

// mistake is an error about a method, with its place.
func mistake(m *protogen.Method, format string, args ...any) error {
	file := m.Desc.ParentFile()
	at := file.SourceLocations().ByDescriptor(m.Desc)
	return fmt.Errorf("%s:%d:%d: method %s %s", file.Path(), at.StartLine+1, at.StartColumn+1, m.Desc.FullName(), fmt.Sprintf(format, args...))
}
