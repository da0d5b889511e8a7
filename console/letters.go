package console

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// letterKeys are the keys of a query for letters.
var letterKeys = []string{
	"queue", "type", "target", "caller", "request", "trace", "error_type", "contains", "since", "before", "after", "limit",
}

// choiceMax bounds the ids of one request.
const choiceMax = 1_000

// mailRoutes adds the paths about queues and dead letters.
func (c *Console) mailRoutes() {
	add := func(method, path, summary string, body, answer reflect.Type, status int, handler http.HandlerFunc, keys ...string) {
		c.plain(plainRoute{method: method, path: path, summary: summary, keys: keys, body: body, answer: answer, status: status}, c.withMail(handler))
	}
	add(http.MethodGet, "/api/mail", "Queues, the number of dead letters, redrives", nil, reflect.TypeFor[MailOverview](), 0, c.getMail)
	add(http.MethodGet, "/api/letters", "Dead letters, the oldest first", nil, reflect.TypeFor[LetterPage](), 0, c.getLetters, letterKeys...)
	add(http.MethodPost, "/api/letters/delete", "Remove dead letters by ids or by a filter", reflect.TypeFor[LetterDelete](), reflect.TypeFor[Deleted](), 0, c.deleteLetters)
	add(http.MethodGet, "/api/letters/{id}", "A dead letter with its payload", nil, reflect.TypeFor[Letter](), 0, c.getLetter)
	add(http.MethodPut, "/api/letters/{id}", "Edit a dead letter; If-Match is needed", reflect.TypeFor[LetterEdit](), reflect.TypeFor[Letter](), 0, c.putLetter)
	add(http.MethodDelete, "/api/letters/{id}", "Remove a dead letter", nil, nil, http.StatusNoContent, c.deleteLetter)
	add(http.MethodPost, "/api/rehearsals", "What would happen to letters that are redriven", reflect.TypeFor[RehearsalRequest](), reflect.TypeFor[Rehearsals](), 0, c.rehearse)
	add(http.MethodGet, "/api/redrives", "The last redrives", nil, reflect.TypeFor[RedriveList](), 0, c.getRedrives)
	add(http.MethodPost, "/api/redrives", "Bring letters back to their queues", reflect.TypeFor[RedriveRequest](), reflect.TypeFor[Redrive](), http.StatusAccepted, c.startRedrive)
	add(http.MethodGet, "/api/redrives/{id}", "How far a redrive is", nil, reflect.TypeFor[Redrive](), 0, c.getRedrive)
	add(http.MethodDelete, "/api/redrives/{id}", "Stop a redrive", nil, reflect.TypeFor[Redrive](), 0, c.stopRedrive)
}

// withMail refuses requests to a node without a store.
func (c *Console) withMail(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.opts.Mail == nil {
			fail(w, fault.New(fault.NotFound, "console", "this node has no store"))
			return
		}
		next(w, r)
	}
}

func (c *Console) getMail(w http.ResponseWriter, r *http.Request) {
	overview, err := c.opts.Mail.Overview(r.Context())
	answer(w, overview, err)
}

// answer is the value as JSON, or the problem.
func answer[T any](w http.ResponseWriter, v T, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, v)
}

func (c *Console) getLetters(w http.ResponseWriter, r *http.Request) {
	q, err := parseLetterQuery(r.URL.Query())
	if err != nil {
		fail(w, err)
		return
	}
	page, err := c.opts.Mail.Letters(r.Context(), q)
	answer(w, page, err)
}

// parseLetterQuery reads a query for letters.
func parseLetterQuery(v url.Values) (q LetterQuery, err error) {
	q.LetterFilter = LetterFilter{
		Queue: store.Queue(v.Get("queue")), Type: v.Get("type"), Target: v.Get("target"), Caller: v.Get("caller"),
		Request: v.Get("request"), Trace: v.Get("trace"), ErrorType: v.Get("error_type"), Contains: v.Get("contains"),
	}
	if q.Since, err = moment(v, "since"); err != nil {
		return q, err
	}
	if q.Before, err = moment(v, "before"); err != nil {
		return q, err
	}
	if text := v.Get("after"); text != "" {
		if q.After, err = letterID(text, "after"); err != nil {
			return q, err
		}
	}
	q.Limit, err = number(v, "limit", LettersDefault, LettersMax)
	return q, err
}

// values is the query that parseLetterQuery reads.
func (q LetterQuery) values() url.Values {
	v := url.Values{}
	set := func(key, text string) {
		if text != "" {
			v.Set(key, text)
		}
	}
	set("queue", string(q.Queue))
	set("type", q.Type)
	set("target", q.Target)
	set("caller", q.Caller)
	set("request", q.Request)
	set("trace", q.Trace)
	set("error_type", q.ErrorType)
	set("contains", q.Contains)
	if !q.Since.IsZero() {
		set("since", q.Since.Format(time.RFC3339Nano))
	}
	if !q.Before.IsZero() {
		set("before", q.Before.Format(time.RFC3339Nano))
	}
	if q.After != 0 {
		set("after", strconv.FormatInt(int64(q.After), 10))
	}
	if q.Limit != 0 {
		set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// moment reads a time of a query.
func moment(v url.Values, key string) (time.Time, error) {
	text := v.Get(key)
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, invalid(key, "%s is %q; expected a time such as 2006-01-02T15:04:05Z", key, short(text))
	}
	return at, nil
}

func letterID(text, key string) (store.LetterID, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, invalid(key, "%s is %q; expected the number of a letter", key, short(text))
	}
	return store.LetterID(n), nil
}

func (c *Console) getLetter(w http.ResponseWriter, r *http.Request) {
	id, err := letterID(r.PathValue("id"), "id")
	if err != nil {
		fail(w, err)
		return
	}
	letter, err := c.opts.Mail.Letter(r.Context(), id)
	sendLetter(w, letter, err)
}

// sendLetter answers with a letter and the tag of its version.
func sendLetter(w http.ResponseWriter, letter Letter, err error) {
	if err == nil {
		w.Header().Set("ETag", etag(letter.Version))
	}
	answer(w, letter, err)
}

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// ifMatch reads the version that a change is made for; 0 if the request does not
// say, or says that any will do.
func ifMatch(r *http.Request) (int64, error) {
	return matched(r.Header.Get("If-Match"), "the letter")
}

func (c *Console) putLetter(w http.ResponseWriter, r *http.Request) {
	id, err := letterID(r.PathValue("id"), "id")
	if err != nil {
		fail(w, err)
		return
	}
	version, err := ifMatch(r)
	if err != nil {
		fail(w, err)
		return
	}
	if version == 0 {
		problem(w, Problem{
			Status: http.StatusPreconditionRequired, Detail: "an edit says which version of the letter it is made for",
			Code: fault.FailedPrecondition.String(), Hint: "send If-Match with the ETag of GET " + r.URL.Path, Target: r.URL.Path,
		})
		return
	}
	edit := LetterEdit{}
	if err := readJSON(r, &edit); err != nil {
		fail(w, err)
		return
	}
	edit.Version = version
	letter, err := c.opts.Mail.EditLetter(r.Context(), id, edit)
	if errors.Is(err, fault.Aborted) {
		changed(w, err, r.URL.Path)
		return
	}
	sendLetter(w, letter, err)
}

// changed answers that a letter is not of the version that was expected.
func changed(w http.ResponseWriter, err error, path string) {
	problem(w, Problem{
		Status: http.StatusPreconditionFailed, Detail: err.Error(), Code: fault.Aborted.String(),
		Hint: "somebody else has changed the letter: read it again", Target: path,
	})
}

func (c *Console) deleteLetter(w http.ResponseWriter, r *http.Request) {
	id, err := letterID(r.PathValue("id"), "id")
	if err != nil {
		fail(w, err)
		return
	}
	version, err := ifMatch(r)
	if err != nil {
		fail(w, err)
		return
	}
	_, err = c.opts.Mail.DeleteLetters(r.Context(), LetterDelete{LetterChoice: LetterChoice{IDs: []store.LetterID{id}}, Version: version})
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case version != 0 && errors.Is(err, fault.Aborted):
		changed(w, err, r.URL.Path)
	default:
		fail(w, err)
	}
}

// Check returns what is wrong with a choice of letters: INVALID_ARGUMENT.
func (l LetterChoice) Check() error {
	switch {
	case len(l.IDs) > 0 && (l.All || !l.Filter.IsZero()):
		return invalid("ids", "the letters are given by ids and by a filter; expected one of them")
	case len(l.IDs) > choiceMax:
		return invalid("ids", "%d ids are given; at most %d are allowed, a filter has no limit", len(l.IDs), choiceMax)
	case l.All && !l.Filter.IsZero():
		return invalid("all", "all letters are asked for, and a filter is given; expected one of them")
	case len(l.IDs) == 0 && !l.All && l.Filter.IsZero():
		return invalid("filter", "no letters are chosen; expected ids, a filter, or all")
	}
	return nil
}

func (c *Console) deleteLetters(w http.ResponseWriter, r *http.Request) {
	var body LetterDelete
	if !readChoice(w, r, &body, &body.LetterChoice) {
		return
	}
	n, err := c.opts.Mail.DeleteLetters(r.Context(), body)
	answer(w, Deleted{n, body.DryRun}, err)
}

// readChoice reads the body of an action on letters; it has answered if it
// returns false.
func readChoice[T any](w http.ResponseWriter, r *http.Request, body *T, choice *LetterChoice) bool {
	err := readJSON(r, body)
	if err == nil {
		err = choice.Check()
	}
	if err != nil {
		fail(w, err)
	}
	return err == nil
}

// Deleted is the answer of POST /api/letters/delete.
type Deleted struct {
	Letters int  `json:"letters"` // that are gone; in a dry run, that would be
	DryRun  bool `json:"dry_run"`
}

// RehearsalRequest is the body of POST /api/rehearsals.
type RehearsalRequest struct {
	IDs []store.LetterID `json:"ids"` // 1 to RehearsalsMax
}

// RehearsalsMax is how many letters one request may rehearse.
const RehearsalsMax = 100

// Rehearsals is the answer of POST /api/rehearsals.
type Rehearsals struct {
	Rehearsals []Rehearsal `json:"rehearsals"`
}

func (c *Console) rehearse(w http.ResponseWriter, r *http.Request) {
	var body RehearsalRequest
	if err := readJSON(r, &body); err != nil {
		fail(w, err)
		return
	}
	if n := len(body.IDs); n == 0 || n > RehearsalsMax {
		fail(w, invalid("ids", "%d ids are given; expected 1 to %d", n, RehearsalsMax))
		return
	}
	done, err := c.opts.Mail.Rehearse(r.Context(), body.IDs)
	answer(w, Rehearsals{done}, err)
}

// RedriveList is the answer of GET /api/redrives.
type RedriveList struct {
	Redrives []Redrive `json:"redrives"` // the newest first
}

func (c *Console) getRedrives(w http.ResponseWriter, r *http.Request) {
	overview, err := c.opts.Mail.Overview(r.Context())
	answer(w, RedriveList{overview.Redrives}, err)
}

func (c *Console) startRedrive(w http.ResponseWriter, r *http.Request) {
	var body RedriveRequest
	if !readChoice(w, r, &body, &body.LetterChoice) {
		return
	}
	// What JSON cannot say, NaN, needs no check.
	if body.SettleSeconds > math.MaxInt32 {
		fail(w, invalid("settle_seconds", "settle_seconds is %v; at most %d is allowed", body.SettleSeconds, math.MaxInt32))
		return
	}
	redrive, err := c.opts.Mail.Redrive(context.WithoutCancel(r.Context()), body)
	if err != nil || redrive.ID == "" {
		answer(w, redrive, err)
		return
	}
	w.Header().Set("Location", "/api/redrives/"+redrive.ID)
	reply(w, http.StatusAccepted, redrive)
}

func (c *Console) getRedrive(w http.ResponseWriter, r *http.Request) {
	redrive, err := c.opts.Mail.RedriveOf(r.Context(), r.PathValue("id"))
	answer(w, redrive, err)
}

func (c *Console) stopRedrive(w http.ResponseWriter, r *http.Request) {
	redrive, err := c.opts.Mail.StopRedrive(r.Context(), r.PathValue("id"))
	answer(w, redrive, err)
}

// NoRedrive is the error for a redrive that is not known: NOT_FOUND.
func NoRedrive(id string) error {
	return (&fault.Error{
		Code: fault.NotFound, Op: "console", Message: fmt.Sprintf("there is no redrive %s", short(id)),
		Hint: "the last ones are listed by /api/redrives; they end with the node",
	}).WithTarget(short(id))
}
