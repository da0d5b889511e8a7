package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// Problem is the body of every answer that is not a success: application/problem+json
// of RFC 9457, with the fault code and a hint as members of its own.
type Problem struct {
	Title  string `json:"title"`            // the HTTP status in words
	Status int    `json:"status"`           // the HTTP status
	Detail string `json:"detail"`           // what was wrong, for a person
	Code   string `json:"code"`             // fault.Code, such as "NOT_FOUND"
	Hint   string `json:"hint,omitempty"`   // what to do about it
	Target string `json:"target,omitempty"` // what the request was about

	Errors []ProblemDetail `json:"errors,omitempty"` // all that is wrong, if several things can be
}

// ProblemDetail is one of the things that are wrong with a request.
type ProblemDetail struct {
	Where   string `json:"where,omitempty"` // "body.limit", "query.since"; in a definition "file:line:column"
	Message string `json:"message"`         // what was expected, and what there is
	Hint    string `json:"hint,omitempty"`
}

// statusOf maps a code to the HTTP status that says the same.
func statusOf(code fault.Code) int {
	switch code {
	case fault.InvalidArgument, fault.OutOfRange, fault.Poison:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.PermissionDenied:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.AlreadyExists, fault.FailedPrecondition, fault.Aborted:
		return http.StatusConflict
	case fault.ResourceExhausted:
		return http.StatusTooManyRequests
	case fault.Unimplemented:
		return http.StatusNotImplemented
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	case fault.DeadlineExceeded:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// fail answers with the problem that err describes.
func fail(w http.ResponseWriter, err error) { problem(w, problemOf(err)) }

// problemOf describes an error.
func problemOf(err error) Problem {
	if said, ok := errors.AsType[*apiError](err); ok {
		said.Title = http.StatusText(said.Status)
		return said.Problem
	}
	code := fault.CodeOf(err)
	p := Problem{Status: statusOf(code), Detail: err.Error(), Code: code.String()}
	if fe, ok := errors.AsType[*fault.Error](err); ok {
		p.Target, p.Hint = fe.Target, fe.Hint
		if fe.Message != "" && fe.Cause == nil {
			p.Detail = fe.Message
		}
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		p.Status, p.Detail = http.StatusRequestEntityTooLarge, fmt.Sprintf("the request body is larger than %d bytes", tooLarge.Limit)
	}
	if wrong, ok := errors.AsType[workflow.Problems](err); ok {
		for _, one := range wrong {
			p.Errors = append(p.Errors, ProblemDetail{Where: place(one), Message: one.Message, Hint: one.Hint})
		}
	}
	fieldErrors(&p, err)
	p.Title = http.StatusText(p.Status)
	return p
}

// place is where a mistake in a definition stands.
func place(p *workflow.Problem) string {
	at := p.Pos.String()
	if p.Path == "" || at == "" {
		return at + p.Path
	}
	return at + ": " + p.Path
}

// invalid is an INVALID_ARGUMENT about one parameter of a request.
func invalid(target, format string, args ...any) error {
	return fault.New(fault.InvalidArgument, "console", format, args...).WithTarget(target)
}

func problem(w http.ResponseWriter, p Problem) {
	p.Title = http.StatusText(p.Status)
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, p.Title, p.Status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the client may have gone; there is nobody left to tell
}

// reply answers with v as JSON.
func reply[T any](w http.ResponseWriter, status int, v T) {
	body, err := json.Marshal(v)
	if err != nil {
		fail(w, fault.Wrap(fault.Internal, "console", err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone; there is nobody left to tell
}

// knows lets through only requests whose query has no other keys than these: a
// misspelt key would give an answer to another question.
func knows(next http.Handler, keys ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			fail(w, invalid("query", "the query of %s cannot be read: %s", r.URL.Path, short(err.Error())))
			return
		}
		for _, key := range slices.Sorted(maps.Keys(q)) {
			if slices.Contains(keys, key) {
				continue
			}
			hint := r.URL.Path + " takes no query"
			if len(keys) > 0 {
				hint = "the keys are " + strings.Join(keys, ", ")
			}
			fail(w, &fault.Error{
				Code: fault.InvalidArgument, Op: "console", Target: short(key), Hint: hint,
				Message: fmt.Sprintf("%s does not know the query key %q", short(r.URL.Path), short(key)),
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// methods maps an HTTP method to its handler. A method that is missing gets
// 405 with the list of those that are there; HEAD is served by GET.
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if handler, ok := m[method]; ok {
		handler(w, r)
		return
	}
	allow := ""
	for _, name := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		if _, ok := m[name]; ok {
			if allow != "" {
				allow += ", "
			}
			allow += name
		}
	}
	w.Header().Set("Allow", allow)
	problem(w, Problem{
		Status: http.StatusMethodNotAllowed,
		Detail: fmt.Sprintf("%s does not take %s", r.URL.Path, r.Method),
		Code:   fault.InvalidArgument.String(),
		Hint:   "use " + allow,
		Target: r.URL.Path,
	})
}
