package console

import (
	"net/http"
	"strings"

	"github.com/troupe-dev/troupe/fault"
)

// act does an action on an actor: POST /api/actors/{path}:{verb}.
func (c *Console) act(w http.ResponseWriter, r *http.Request) {
	target := "/" + r.PathValue("action")
	colon := strings.LastIndexByte(target, ':')
	if colon < 0 {
		fail(w, invalid(target, "%q names no action; expected /api/actors/{path}:{verb}", short(target)))
		return
	}
	path, verb := target[:colon], target[colon+1:]
	for _, a := range c.opts.Actions {
		if a.Path != path || a.Verb != verb {
			continue
		}
		if err := a.Do(r.Context()); err != nil {
			fail(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	fail(w, (&fault.Error{
		Code: fault.NotFound, Op: "console", Message: "the node offers no action " + short(target),
		Hint: "the actions are listed by /api/node",
	}).WithTarget(short(target)))
}
