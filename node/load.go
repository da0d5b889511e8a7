package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/troupe-dev/troupe/internal/files"
	"github.com/troupe-dev/troupe/internal/suggest"
	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/secret"
)

// ConfigFile is the file that is read from the working directory, if it is
// there, when no other is named.
const ConfigFile = "troupe.yaml"

// configBytesMax bounds a configuration file.
const configBytesMax = 1 << 20

// Sources are the layers above the defaults. The zero value has none of them.
type Sources struct {
	// File is the configuration file. It must exist if it is named. Default:
	// the variable TROUPE_CONFIG, else troupe.yaml in the working directory if
	// there is one.
	File string
	// NoFile leaves the file layer out.
	NoFile bool
	// Env is the table of variables, "NAME=value", as os.Environ returns it.
	Env []string
	// Flags are the values given on the command line, in their order; the last
	// one of a key counts.
	Flags []Assignment
}

// An Assignment is one value from the command line.
type Assignment struct {
	Flag  string // as it was typed, for messages: "--port" or "--set http.port"
	Key   string // "http.port"
	Value string
}

// An OriginKind is the layer that a value comes from.
type OriginKind string

// The layers, the weakest first.
const (
	FromDefault OriginKind = "default"
	FromFile    OriginKind = "file"
	FromEnv     OriginKind = "env"
	FromFlag    OriginKind = "flag"
)

// An Origin says where a value was set.
type Origin struct {
	Kind OriginKind `json:"kind"`
	// Where is file:line:column, the name of the variable, or the flag; empty
	// for a default.
	Where string `json:"where,omitempty"`
}

// String is what `config explain` prints.
func (o Origin) String() string {
	switch o.Kind {
	case FromDefault, "":
		return string(FromDefault)
	case FromFile:
		return o.Where
	default:
		return string(o.Kind) + " " + o.Where
	}
}

// Settings are a configuration together with where each of its values was set.
type Settings struct {
	Config  Config
	File    string // that was read; "" if none
	origins map[string]Origin
}

// Origin says where the value of a key was set.
func (s *Settings) Origin(key string) Origin {
	if o, ok := s.origins[key]; ok {
		return o
	}
	return Origin{Kind: FromDefault}
}

// Load reads a configuration: defaults, then the file, then variables, then
// flags. Whatever is wrong is reported at once, as [Problems]. A file that
// cannot be read is an error of its own.
func Load(src Sources) (*Settings, error) {
	s := &Settings{Config: DefaultConfig(), origins: map[string]Origin{}}
	var problems Problems
	if !src.NoFile {
		found, err := s.loadFile(src)
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	problems = append(problems, s.loadEnv(src.Env)...)
	problems = append(problems, s.loadFlags(src.Flags)...)
	problems = append(problems, s.unknownVariables(src.Env)...)
	if err := append(problems, s.check()...).err(); err != nil {
		return nil, err
	}
	return s, nil
}

// CheckFile reads one file on top of the defaults and reports what is wrong
// with it, as [Problems]. Variables and flags have no part in it.
func CheckFile(path string) error {
	_, err := Load(Sources{File: path})
	return err
}

// loadFile finds and applies the file layer.
func (s *Settings) loadFile(src Sources) (Problems, error) {
	path, named := src.File, src.File != ""
	if !named {
		path, named = secret.LookupEnv(src.Env, EnvConfigFile)
	}
	if path == "" {
		path, named = ConfigFile, false
	}
	text, err := readBounded(path, configBytesMax)
	if !named && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the configuration cannot be read: %w", path, unwrapPath(err))
	}
	s.File = path
	return s.applyDocument(path, text), nil
}

// applyDocument applies the text of a file.
func (s *Settings) applyDocument(path string, text []byte) Problems {
	if saysNothing(text) {
		return nil // every setting may be left out, so all of them may
	}
	doc, err := yamldoc.Parse(path, text, yamldoc.Limits{BytesMax: configBytesMax})
	if err != nil {
		if errs, ok := errors.AsType[yamldoc.Errors](err); ok {
			return fromDocument(errs)
		}
		return Problems{{Where: path, Message: err.Error()}}
	}
	return fromDocument(yamldoc.Join(s.applyMapping(doc.Root(), "")))
}

// saysNothing reports whether a YAML text has nothing but comments.
func saysNothing(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// applyMapping applies the settings below one section; prefix ends with a dot,
// or is empty at the root.
func (s *Settings) applyMapping(n yamldoc.Node, prefix string) yamldoc.Errors {
	if !n.IsMapping() {
		what := "a mapping of settings"
		if prefix != "" {
			what = "the settings of " + strings.TrimSuffix(prefix, ".")
		}
		return yamldoc.Errors{n.Errorf("want %s, one \"key: value\" a line", what)}
	}
	var errs yamldoc.Errors
	leaves, sections := keysBelow(prefix)
	for _, entry := range n.Entries() {
		name := entry.Key.Text()
		switch {
		case slices.Contains(leaves, name):
			if err := s.applyScalar(prefix+name, entry.Value); err != nil {
				errs = append(errs, err)
			}
		case slices.Contains(sections, name):
			if !entry.Value.IsNull() { // a section whose settings are all commented out
				errs = append(errs, s.applyMapping(entry.Value, prefix+name+".")...)
			}
		default:
			errs = append(errs, unknownKey(entry.Key, prefix, name, slices.Concat(leaves, sections)))
		}
	}
	return errs
}

// unknownKey makes the error for a key that is no setting. A key that exists in
// another section is pointed at.
func unknownKey(at yamldoc.Node, prefix, name string, known []string) *yamldoc.Error {
	err := at.Unknown("setting", name, known)
	if _, close := suggest.Closest(name, known); close {
		return err
	}
	for _, st := range settings {
		section, leaf, nested := cutLast(st.key)
		if nested && leaf == name && section+"." != prefix {
			err.Hint = fmt.Sprintf("there is %q", st.key)
		}
	}
	return err
}

// applyScalar sets one key from its node.
func (s *Settings) applyScalar(key string, n yamldoc.Node) *yamldoc.Error {
	st, _ := findSetting(key)
	b := st.bind(&s.Config)
	if list, ok := b.(*listValue); ok && n.IsList() {
		return s.applyList(key, list, n)
	}
	if n.IsMapping() || n.IsList() || n.IsNull() {
		return n.Errorf("want %s", b.kind())
	}
	if _, wantsText := b.(*textValue); wantsText && !n.IsString() {
		err := n.Errorf("want %s, got %s", b.kind(), n.Text())
		err.Hint = fmt.Sprintf("write it as a text: %q", n.Text())
		return err
	}
	if quoted := n.IsString(); quoted {
		switch b.(type) {
		case *intValue, *boolValue:
			return n.Errorf("want %s, got the text %q", b.kind(), n.Text())
		}
	}
	if err := b.set(n.Text()); err != nil {
		return n.Errorf("%v", err)
	}
	s.origins[key] = Origin{FromFile, n.Pos().String()}
	return nil
}

// applyList sets a key that takes a list from a list of texts.
func (s *Settings) applyList(key string, list *listValue, n yamldoc.Node) *yamldoc.Error {
	*list.p = nil
	for _, e := range n.Elements() {
		if !e.IsString() || !list.ok(e.Text()) {
			return e.Errorf("want %s, got %q", list.kind(), e.Text())
		}
		*list.p = append(*list.p, e.Text())
	}
	s.origins[key] = Origin{FromFile, n.Pos().String()}
	return nil
}

// keysBelow returns the settings and the sections directly below a prefix.
func keysBelow(prefix string) (leaves, sections []string) {
	for _, st := range settings {
		rest, ok := strings.CutPrefix(st.key, prefix)
		if !ok {
			continue
		}
		name, _, nested := strings.Cut(rest, ".")
		switch {
		case !nested:
			leaves = append(leaves, name)
		case !slices.Contains(sections, name):
			sections = append(sections, name)
		}
	}
	return leaves, sections
}

// cutLast splits "http.port" into "http" and "port".
func cutLast(key string) (section, leaf string, nested bool) {
	i := strings.LastIndexByte(key, '.')
	if i < 0 {
		return "", key, false
	}
	return key[:i], key[i+1:], true
}

// serviceLink matches the variables that Kubernetes and Docker set for a
// service that is called "troupe"; they are no settings.
var serviceLink = regexp.MustCompile(`^TROUPE_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_[0-9]+_(TCP|UDP)(_.*)?)$|^TROUPE_PORT$`)

// loadEnv applies the variables of settings.
func (s *Settings) loadEnv(env []string) Problems {
	var problems Problems
	for _, st := range settings {
		name := st.env()
		value, ok := secret.LookupEnv(env, name)
		if !ok {
			continue
		}
		if err := st.bind(&s.Config).set(value); err != nil {
			problems = append(problems, Problem{Where: name, Key: st.key, Message: err.Error()})
			continue
		}
		s.origins[st.key] = Origin{FromEnv, name}
	}
	return problems
}

// unknownVariables returns a problem for each variable that looks like a setting
// and is none. It runs last: a variable that a secret refers to is known,
// whichever layer refers to it.
func (s *Settings) unknownVariables(env []string) Problems {
	known := []string{EnvConfigFile}
	for _, st := range settings {
		known = append(known, st.env())
	}
	unknown := map[string]bool{}
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, EnvPrefix) && !slices.Contains(known, name) &&
			!serviceLink.MatchString(name) && !s.refersTo(name) {
			unknown[name] = true
		}
	}
	var problems Problems
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		problems = append(problems, Problem{
			Where:   name,
			Message: "unknown variable; every " + EnvPrefix + " variable is a setting",
			Hint:    suggest.DidYouMean(name, known),
		})
	}
	return problems
}

// refersTo reports whether a secret is kept in the variable.
func (s *Settings) refersTo(variable string) bool {
	reference := secret.Env(variable)
	return s.Config.HTTP.Token == reference || s.Config.Store.URL.secret == reference
}

// loadFlags applies the command line.
func (s *Settings) loadFlags(flags []Assignment) Problems {
	var problems Problems
	for _, f := range flags {
		st, ok := findSetting(f.Key)
		if !ok {
			problems = append(problems, Problem{
				Where:   f.Flag,
				Message: fmt.Sprintf("unknown setting %q", f.Key),
				Hint:    suggest.DidYouMean(f.Key, allKeys()),
			})
			continue
		}
		if err := st.bind(&s.Config).set(f.Value); err != nil {
			problems = append(problems, Problem{Where: f.Flag, Key: f.Key, Message: err.Error()})
			continue
		}
		s.origins[f.Key] = Origin{FromFlag, f.Flag}
	}
	return problems
}

// allKeys returns every key there is.
func allKeys() []string {
	keys := make([]string, len(settings))
	for i, st := range settings {
		keys[i] = st.key
	}
	return keys
}

// check checks the merged values and blames the layer that set them.
func (s *Settings) check() Problems {
	problems := checkConfig(&s.Config)
	for i := range problems {
		if o := s.Origin(problems[i].Key); o.Kind != FromDefault {
			problems[i].Where = o.Where
		}
	}
	return problems
}

// checkConfig returns what is wrong with a Config, key by key.
func checkConfig(c *Config) Problems {
	var problems Problems
	for _, st := range settings {
		if err := st.bind(c).check(); err != nil {
			problems = append(problems, Problem{Key: st.key, Message: err.Error()})
		}
	}
	if listenAddress(c.HTTP.Address) && !loopback(c.HTTP.Address) && c.HTTP.Token.IsZero() && !c.HTTP.AllowUnauthenticated {
		problems = append(problems, Problem{
			Key:     "http.address",
			Message: fmt.Sprintf("other machines can reach %s, and nothing asks who they are", c.HTTP.Address),
			Hint:    "use 127.0.0.1, set http.token, or say http.allow_unauthenticated: true",
		})
	}
	return problems
}

// readBounded reads a regular file of at most max bytes.
func readBounded(path string, max int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		if info.IsDir() {
			return nil, files.ErrDirectory
		}
		return nil, files.ErrNotRegular
	}
	if info.Size() > max {
		return nil, fmt.Errorf("%d bytes, at most %d are read", info.Size(), max)
	}
	return os.ReadFile(path)
}
