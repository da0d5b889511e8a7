package console

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"

	"github.com/troupe-dev/troupe/fault"
)

// LogLevel is the body of /api/log-level.
type LogLevel struct {
	Level string `json:"level"` // DEBUG, INFO, WARN or ERROR, also as "INFO+2"
}

var errNoLevel = fault.New(fault.NotFound, "console", "this node has no log level that can be changed")

func (c *Console) getLogLevel(w http.ResponseWriter, _ *http.Request) {
	if c.opts.LogLevel == nil {
		fail(w, errNoLevel)
		return
	}
	reply(w, http.StatusOK, LogLevel{Level: c.opts.LogLevel.Level().String()})
}

func (c *Console) setLogLevel(w http.ResponseWriter, r *http.Request) {
	if c.opts.LogLevel == nil {
		fail(w, errNoLevel)
		return
	}
	var body LogLevel
	if err := readJSON(r, &body); err != nil {
		fail(w, err)
		return
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(body.Level)); err != nil {
		fail(w, invalid("level", "level is %q; expected DEBUG, INFO, WARN or ERROR", short(body.Level)))
		return
	}
	c.opts.LogLevel.Set(level)
	reply(w, http.StatusOK, LogLevel{Level: level.String()})
}

// readJSON decodes a request body strictly: its type must be JSON, every key
// known, and nothing may follow.
func readJSON[T any](r *http.Request, into *T) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return invalid("Content-Type", "the body is %q; expected application/json", short(r.Header.Get("Content-Type")))
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return bodyError(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("body", "the body has more than one JSON value")
	}
	return nil
}

func bodyError(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.Wrap(fault.InvalidArgument, "console", tooLarge)
	}
	return invalid("body", "the body is not the JSON expected: %s", short(err.Error()))
}
