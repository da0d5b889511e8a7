package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/workflow"
)

// scheduleRoutes adds the operations on schedules.
func (c *Console) scheduleRoutes() {
	tags := []string{"schedules"}
	operation(c, huma.Operation{
		OperationID: "list-schedules", Method: http.MethodGet, Path: "/api/schedules", Tags: tags, Summary: "The schedules by name",
	}, c.listSchedules)
	operation(c, huma.Operation{
		OperationID: "get-schedule", Method: http.MethodGet, Path: "/api/schedules/{name}", Tags: tags,
		Summary: "A schedule with its next instants and what became of the last; its ETag is for changes of it",
	}, c.getSchedule)
	operation(c, huma.Operation{
		OperationID: "put-schedule", Method: http.MethodPut, Path: "/api/schedules/{name}", Tags: tags,
		Summary: "Make a schedule, or change it; with If-Match only if nobody else did, with If-None-Match: * only if there is none",
	}, c.putSchedule)
	operation(c, huma.Operation{
		OperationID: "preview-schedule", Method: http.MethodPost, Path: "/api/schedule-preview", Tags: tags,
		Summary: "What would become of a schedule, and all that is wrong with it; nothing is kept",
	}, c.previewSchedule)
	operation(c, huma.Operation{
		OperationID: "delete-schedule", Method: http.MethodDelete, Path: "/api/schedules/{name}", Tags: tags, Summary: "Remove a schedule; its runs go on",
		DefaultStatus: http.StatusNoContent,
	}, c.deleteSchedule)
	verb := func(name, summary string, do func(*workflow.Engine) func(context.Context, string, string) (workflow.ScheduleInfo, error)) {
		operation(c, huma.Operation{
			OperationID: name + "-schedule", Method: http.MethodPost, Path: "/api/schedules/{name}/" + name, Tags: tags, Summary: summary,
		}, func(ctx context.Context, in *schedulePause) (*tagged[workflow.ScheduleInfo], error) {
			return c.onSchedule(func(engine *workflow.Engine) (workflow.ScheduleInfo, error) {
				comment := ""
				if in.Body != nil {
					comment = in.Body.Comment
				}
				return do(engine)(ctx, in.Name, comment)
			})
		})
	}
	verb("pause", "Keep a schedule from starting runs", func(e *workflow.Engine) func(context.Context, string, string) (workflow.ScheduleInfo, error) {
		return e.PauseSchedule
	})
	verb("resume", "End a pause", func(e *workflow.Engine) func(context.Context, string, string) (workflow.ScheduleInfo, error) {
		return e.ResumeSchedule
	})
	operation(c, huma.Operation{
		OperationID: "run-schedule", Method: http.MethodPost, Path: "/api/schedules/{name}/run", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Start a run of a schedule now",
	}, c.runSchedule)
	operation(c, huma.Operation{
		OperationID: "backfill-schedule", Method: http.MethodPost, Path: "/api/schedules/{name}/backfill", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Start runs for the instants of a time that is past",
	}, c.backfillSchedule)
}

// ScheduleList is the answer of GET /api/schedules.
type ScheduleList struct {
	Schedules []workflow.ScheduleInfo `json:"schedules"` // by name
	// Next is the cursor of the next page; left out on the last one.
	Next string `json:"next,omitempty"`
}

// ScheduleChanges is the event "schedules" of the stream.
type ScheduleChanges struct {
	Schedules int    `json:"schedules"` // how many there are, up to RunsMax
	Paused    int    `json:"paused"`    // of them
	Changes   uint64 `json:"changes"`   // another number after any has changed
}

// ScheduleQuery is the query of a list of schedules.
type ScheduleQuery struct {
	PageQuery
	Workflow string `query:"workflow" doc:"Of this workflow." maxLength:"200"`
}

func (c *Console) listSchedules(ctx context.Context, in *ScheduleQuery) (*answered[ScheduleList], error) {
	list := ScheduleList{Schedules: []workflow.ScheduleInfo{}}
	if c.opts.Runs == nil {
		return &answered[ScheduleList]{list}, nil
	}
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	after, err := decodeCursor(in.Cursor)
	if err != nil {
		return nil, err
	}
	found, err := engine.Schedules(ctx, workflow.ScheduleFilter{Workflow: in.Workflow, After: after, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		list.Next = encodeCursor(found[in.Limit-1].Name)
	}
	list.Schedules = append(list.Schedules, found...)
	return &answered[ScheduleList]{list}, nil
}

// scheduleChanges is what the stream tells of the schedules.
func (c *Console) scheduleChanges(ctx context.Context) (ScheduleChanges, error) {
	var s ScheduleChanges
	engine, err := c.engine()
	if err != nil {
		return s, err
	}
	all, err := engine.Schedules(ctx, workflow.ScheduleFilter{Limit: RunsMax})
	if err != nil {
		return s, err
	}
	s.Schedules = len(all)
	sum := fnv.New64a()
	enc := json.NewEncoder(sum)
	for i := range all {
		if all[i].Paused {
			s.Paused++
		}
		if err := enc.Encode(&all[i]); err != nil {
			return s, err
		}
	}
	s.Changes = sum.Sum64() >> 11 // a number that JavaScript has exactly
	return s, nil
}

// SchedulePath is the parameter of a path to a schedule.
type SchedulePath struct {
	Name string `path:"name" doc:"The schedule's name." maxLength:"200"`
}

type scheduleRead struct {
	SchedulePath
	Conditional
}

// onSchedule answers with a schedule, as it is after something was done.
func (c *Console) onSchedule(do func(*workflow.Engine) (workflow.ScheduleInfo, error)) (*tagged[workflow.ScheduleInfo], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	info, err := do(engine)
	if err != nil {
		return nil, conflict(err)
	}
	c.touch()
	return &tagged[workflow.ScheduleInfo]{etag(info.Revision), info}, nil
}

// conflict is the error of a change that somebody else was faster with.
func conflict(err error) error {
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	return precondition(err)
}

func (c *Console) getSchedule(ctx context.Context, in *scheduleRead) (*tagged[workflow.ScheduleInfo], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	info, err := engine.Schedule(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	etag, err := revisionTag(info.Revision, info)
	return &tagged[workflow.ScheduleInfo]{etag, info}, err
}

// revisionTag is the tag of something that is changed, and changes by itself: its
// revision, which is what If-Match is compared with, and its content.
func revisionTag[T any](revision int64, v T) (string, error) {
	content, err := contentTag(v)
	return strings.TrimSuffix(etag(revision), `"`) + "." + strings.TrimPrefix(content, `"`), err
}

// ScheduleRequest is the body of PUT /api/schedules/{name}.
type ScheduleRequest struct {
	workflow.Schedule
	Name string `json:"name,omitempty" maxLength:"200" doc:"As in the path."`
}

type schedulePut struct {
	SchedulePath
	IfMatch     string `header:"If-Match" maxLength:"100" doc:"The ETag of the schedule that the change is made for."`
	IfNoneMatch string `header:"If-None-Match" enum:"*" doc:"* makes a new one only."`
	Body        ScheduleRequest
}

func (c *Console) putSchedule(ctx context.Context, in *schedulePut) (*tagged[workflow.ScheduleInfo], error) {
	s := in.Body.Schedule
	if in.Body.Name != "" && in.Body.Name != in.Name {
		return nil, invalid("body.name", "name is %q, and the path names %q; a schedule keeps its name", short(in.Body.Name), short(in.Name))
	}
	s.Name = in.Name
	revision, err := revisionOf(in.IfMatch, "the schedule")
	if err != nil {
		return nil, err
	}
	if in.IfNoneMatch != "" {
		revision = store.Absent
	}
	return c.onSchedule(func(engine *workflow.Engine) (workflow.ScheduleInfo, error) {
		return engine.PutSchedule(ctx, s, revision)
	})
}

// PreviewRequest is the body of POST /api/schedule-preview: a schedule that may not
// be complete yet.
type PreviewRequest struct {
	workflow.Schedule
	Name     string `json:"name,omitempty" maxLength:"200"`
	Workflow string `json:"workflow,omitempty" maxLength:"200"`
	Every    string `json:"every,omitempty" maxLength:"100" doc:"As in a schedule; what is no duration is told with the other mistakes."`
	Delay    string `json:"delay,omitempty" maxLength:"100"`
	Jitter   string `json:"jitter,omitempty" maxLength:"100"`
	CatchUp  string `json:"catch_up,omitempty" maxLength:"100"`
}

// durations reads the durations into a schedule. Those that are none are mistakes of
// their fields.
func (r *PreviewRequest) durations(s *workflow.Schedule) workflow.FieldErrors {
	var wrong workflow.FieldErrors
	for _, one := range []struct {
		field, text string
		into        *workflow.Duration
	}{{"every", r.Every, &s.Every}, {"delay", r.Delay, &s.Delay}, {"jitter", r.Jitter, &s.Jitter}, {"catch_up", r.CatchUp, &s.CatchUp}} {
		if one.text == "" {
			continue
		}
		d, err := time.ParseDuration(one.text)
		if err != nil {
			wrong = append(wrong, workflow.FieldError{
				Field: one.field, Message: fmt.Sprintf("%q is no duration", short(one.text)), Hint: "give a number with a unit, such as 30s, 5m or 1h30m",
			})
			if one.field == "every" || one.field == "delay" {
				d = time.Hour // so that nothing else is wrong on account of it
			}
		}
		*one.into = workflow.Duration(d)
	}
	return wrong
}

type schedulePreview struct {
	Body PreviewRequest
}

func (c *Console) previewSchedule(ctx context.Context, in *schedulePreview) (*answered[workflow.SchedulePreview], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	s := in.Body.Schedule
	s.Name, s.Workflow = in.Body.Name, in.Body.Workflow
	wrong := in.Body.durations(&s)
	preview, err := engine.PreviewSchedule(ctx, s)
	if len(wrong) > 0 {
		preview.Next, preview.Errors = []time.Time{}, append(wrong, preview.Errors...)
	}
	return &answered[workflow.SchedulePreview]{preview}, err
}

// revisionOf reads If-Match: the revision of what it is about.
func revisionOf(ifMatch, what string) (int64, error) {
	number, _, found := strings.Cut(ifMatch, ".")
	if found {
		ifMatch = number + `"`
	}
	n, err := matched(ifMatch, what)
	if n == 0 {
		return store.AnyVersion, err
	}
	return n, err
}

type scheduleDelete struct {
	SchedulePath
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The ETag of the schedule that is meant."`
}

func (c *Console) deleteSchedule(ctx context.Context, in *scheduleDelete) (*done, error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	revision, err := revisionOf(in.IfMatch, "the schedule")
	if err != nil {
		return nil, err
	}
	if err := engine.DeleteSchedule(ctx, in.Name, revision); err != nil {
		return nil, conflict(err)
	}
	c.touch()
	return &done{}, nil
}

// PauseRequest is the body of POST /api/schedules/{name}/pause and resume.
type PauseRequest struct {
	Comment string `json:"comment,omitempty" maxLength:"1000" doc:"Why. Default the comment stays."`
}

type schedulePause struct {
	SchedulePath
	Body *PauseRequest
}

type scheduleRun struct {
	SchedulePath
	Idempotent
}

func (c *Console) runSchedule(ctx context.Context, in *scheduleRun) (*created[RunStarted], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	run, err := engine.RunSchedule(ctx, in.Name, requestOf(in.IdempotencyKey))
	if err != nil {
		return nil, err
	}
	if in.IdempotencyKey != "" {
		info, err := run.Info(ctx)
		if err != nil {
			return nil, err
		}
		if info.Start.Trigger != "schedule/"+in.Name {
			return nil, keyReused(in.IdempotencyKey, run.ID())
		}
	}
	c.touch()
	return startedRun(run.ID()), nil
}

// BackfillRequest is the body of POST /api/schedules/{name}/backfill.
type BackfillRequest struct {
	From time.Time `json:"from" doc:"The first instant, or a time before it."`
	To   time.Time `json:"to" doc:"The last instant, or a time behind it."`
	Max  int       `json:"max,omitempty" minimum:"0" maximum:"10000" doc:"Instants at most; more are refused. 0 is 10,000."`
}

type scheduleBackfill struct {
	SchedulePath
	Body BackfillRequest
}

func (c *Console) backfillSchedule(ctx context.Context, in *scheduleBackfill) (*tagged[workflow.ScheduleInfo], error) {
	return c.onSchedule(func(engine *workflow.Engine) (workflow.ScheduleInfo, error) {
		return engine.Backfill(ctx, in.Name, in.Body.From, in.Body.To, in.Body.Max)
	})
}

func scheduleURL(name string) string { return "/api/schedules/" + url.PathEscape(name) }

// fieldErrors adds the mistakes in the fields of a body to a problem.
func fieldErrors(p *Problem, err error) {
	wrong, ok := errors.AsType[workflow.FieldErrors](err)
	if !ok {
		return
	}
	p.Code, p.Status = fault.InvalidArgument.String(), http.StatusBadRequest
	for _, f := range wrong {
		p.Errors = append(p.Errors, ProblemDetail{Where: "body." + f.Field, Message: f.Message, Hint: f.Hint})
	}
}
