package console

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/workflow"
)

// HooksPath begins the paths of webhooks. Requests for them come from other
// systems: they pass none of the checks that protect a person's browser, and are
// for whatever checks tokens to let through. The trigger checks their signature.
const HooksPath = "/api/hooks/"

// triggerRoutes adds the operations on triggers, and webhooks.
func (c *Console) triggerRoutes() {
	tags := []string{"triggers"}
	operation(c, huma.Operation{
		OperationID: "list-triggers", Method: http.MethodGet, Path: "/api/triggers", Tags: tags, Summary: "The triggers by name",
	}, c.listTriggers)
	operation(c, huma.Operation{
		OperationID: "list-trigger-types", Method: http.MethodGet, Path: "/api/trigger-types", Tags: tags, Summary: "The types of triggers with their configuration",
	}, c.listTriggerTypes)
	operation(c, huma.Operation{
		OperationID: "get-trigger", Method: http.MethodGet, Path: "/api/triggers/{name}", Tags: tags, Summary: "A trigger and its last deliveries",
	}, c.getTrigger)
	operation(c, huma.Operation{
		OperationID: "put-trigger", Method: http.MethodPut, Path: "/api/triggers/{name}", Tags: tags,
		Summary: "Make a trigger, or change it; with If-Match only if nobody else did, with If-None-Match: * only if there is none",
	}, c.putTrigger)
	operation(c, huma.Operation{
		OperationID: "delete-trigger", Method: http.MethodDelete, Path: "/api/triggers/{name}", Tags: tags, Summary: "Remove a trigger; its runs go on",
		DefaultStatus: http.StatusNoContent,
	}, c.deleteTrigger)
	for verb, paused := range map[string]bool{"pause": true, "resume": false} {
		operation(c, huma.Operation{
			OperationID: verb + "-trigger", Method: http.MethodPost, Path: "/api/triggers/{name}/" + verb, Tags: tags,
			Summary: map[bool]string{true: "Keep a trigger from taking anything in", false: "End a pause"}[paused],
		}, func(ctx context.Context, in *triggerPause) (*tagged[workflow.TriggerInfo], error) {
			comment := ""
			if in.Body != nil {
				comment = in.Body.Comment
			}
			return c.onTrigger(func(engine *workflow.Engine) (workflow.TriggerInfo, error) {
				if paused {
					return engine.PauseTrigger(ctx, in.Name, comment)
				}
				return engine.ResumeTrigger(ctx, in.Name, comment)
			})
		})
	}
	operation(c, huma.Operation{
		OperationID: "deliver-trigger", Method: http.MethodPost, Path: "/api/triggers/{name}/deliver", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Hand a delivery to a trigger of any type as if it had been let in, to try it; also while it is paused",
	}, c.deliverByHand)
	operation(c, huma.Operation{
		OperationID: "deliver-webhook", Method: http.MethodPost, Path: HooksPath + "{name}", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Take in the request of another system, which starts a run; one that comes again starts nothing",
		// The keys of the query are the other system's, and so is the type of the body.
		Metadata: map[string]any{anyQuery: true},
	}, c.deliver)
}

// TriggerList is the answer of GET /api/triggers.
type TriggerList struct {
	Triggers []workflow.TriggerInfo `json:"triggers"` // by name
	// Next is the cursor of the next page; left out on the last one.
	Next string `json:"next,omitempty"`
}

// TriggerTypes is the answer of GET /api/trigger-types.
type TriggerTypes struct {
	Types []workflow.TypeInfo `json:"types"` // by name
}

func (c *Console) listTriggerTypes(_ context.Context, _ *Conditional) (*tagged[TriggerTypes], error) {
	if c.opts.Runs == nil {
		return tag(TriggerTypes{[]workflow.TypeInfo{}})
	}
	return tag(TriggerTypes{c.opts.Runs.Types().TriggerTypes()})
}

func (c *Console) listTriggers(ctx context.Context, in *ScheduleQuery) (*answered[TriggerList], error) {
	list := TriggerList{Triggers: []workflow.TriggerInfo{}}
	if c.opts.Runs == nil {
		return &answered[TriggerList]{list}, nil
	}
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	all, err := engine.Triggers(ctx, in.Workflow)
	if err != nil {
		return nil, err
	}
	list.Triggers, list.Next, err = pageOf(all, func(t workflow.TriggerInfo) string { return t.Name }, in.PageQuery)
	return &answered[TriggerList]{list}, err
}

// TriggerPath is the parameter of a path to a trigger.
type TriggerPath struct {
	Name string `path:"name" doc:"The trigger's name." maxLength:"200"`
}

type triggerRead struct {
	TriggerPath
	Conditional
}

// onTrigger answers with a trigger, as it is after something was done.
func (c *Console) onTrigger(do func(*workflow.Engine) (workflow.TriggerInfo, error)) (*tagged[workflow.TriggerInfo], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	info, err := do(engine)
	if err != nil {
		return nil, conflict(err)
	}
	etag, err := revisionTag(info.Revision, info)
	return &tagged[workflow.TriggerInfo]{etag, info}, err
}

func (c *Console) getTrigger(ctx context.Context, in *triggerRead) (*tagged[workflow.TriggerInfo], error) {
	return c.onTrigger(func(engine *workflow.Engine) (workflow.TriggerInfo, error) { return engine.Trigger(ctx, in.Name) })
}

// TriggerRequest is the body of PUT /api/triggers/{name}.
type TriggerRequest struct {
	workflow.Trigger
	Name string `json:"name,omitempty" maxLength:"200" doc:"As in the path."`
}

type triggerPut struct {
	TriggerPath
	IfMatch     string `header:"If-Match" maxLength:"100" doc:"The ETag of the trigger that the change is made for."`
	IfNoneMatch string `header:"If-None-Match" enum:"*" doc:"* makes a new one only."`
	Body        TriggerRequest
}

func (c *Console) putTrigger(ctx context.Context, in *triggerPut) (*tagged[workflow.TriggerInfo], error) {
	t := in.Body.Trigger
	if in.Body.Name != "" && in.Body.Name != in.Name {
		return nil, invalid("body.name", "name is %q, and the path names %q; a trigger keeps its name", short(in.Body.Name), short(in.Name))
	}
	t.Name = in.Name
	revision, err := revisionOf(in.IfMatch, "the trigger")
	if err != nil {
		return nil, err
	}
	if in.IfNoneMatch != "" {
		revision = store.Absent
	}
	return c.onTrigger(func(engine *workflow.Engine) (workflow.TriggerInfo, error) {
		return engine.PutTrigger(ctx, t, revision)
	})
}

type triggerDelete struct {
	TriggerPath
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The ETag of the trigger that is meant."`
}

func (c *Console) deleteTrigger(ctx context.Context, in *triggerDelete) (*done, error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	revision, err := revisionOf(in.IfMatch, "the trigger")
	if err != nil {
		return nil, err
	}
	return &done{}, conflict(engine.DeleteTrigger(ctx, in.Name, revision))
}

type triggerPause struct {
	TriggerPath
	Body *PauseRequest
}

// DeliverRequest is the body of POST /api/triggers/{name}/deliver.
type DeliverRequest struct {
	ID         string              `json:"id,omitempty" maxLength:"1000" doc:"What a repeated delivery is known by. Default: by nothing, so that a run is started each time."`
	Body       string              `json:"body,omitempty" maxLength:"1048576" doc:"The body as a text, such as JSON."`
	Header     map[string][]string `json:"header,omitempty" doc:"Headers by name."`
	Query      map[string][]string `json:"query,omitempty" doc:"The query by key."`
	Attributes map[string]string   `json:"attributes,omitempty" doc:"What the type of the trigger says of a delivery, such as the path of a file."`
}

type deliverRequest struct {
	TriggerPath
	Body DeliverRequest
}

func (c *Console) deliverByHand(ctx context.Context, in *deliverRequest) (*created[HookDelivered], error) {
	return c.delivered(func(engine *workflow.Engine) (workflow.Delivered, error) {
		b := &in.Body
		return engine.DeliverByHand(ctx, in.Name, workflow.Delivery{ID: b.ID, Body: []byte(b.Body), Header: b.Header, Query: b.Query, Attributes: b.Attributes})
	})
}

// hookRequest is the request of another system, whatever it is.
type hookRequest struct {
	TriggerPath
	RawBody []byte `contentType:"application/octet-stream" required:"false"`

	header http.Header
	query  url.Values
}

// Resolve implements huma.Resolver: it takes all there is of the request.
func (r *hookRequest) Resolve(ctx huma.Context) []error {
	r.header = http.Header{}
	ctx.EachHeader(r.header.Add)
	at := ctx.URL()
	r.query = at.Query()
	return nil
}

// HookDelivered is the answer to a webhook, and to what is delivered by hand.
type HookDelivered struct {
	ID       string `json:"id"`       // of the run
	Repeated bool   `json:"repeated"` // it had come before, and the run is that of the first time
}

func (c *Console) deliver(ctx context.Context, in *hookRequest) (*created[HookDelivered], error) {
	return c.delivered(func(engine *workflow.Engine) (workflow.Delivered, error) {
		return engine.Deliver(ctx, in.Name, workflow.Delivery{Body: in.RawBody, Header: in.header, Query: in.query})
	})
}

// delivered answers with the run of a delivery.
func (c *Console) delivered(do func(*workflow.Engine) (workflow.Delivered, error)) (*created[HookDelivered], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	delivered, err := do(engine)
	if err != nil {
		return nil, err
	}
	id := delivered.Run.ID()
	return &created[HookDelivered]{"/api/runs/" + id, HookDelivered{id, delivered.Repeated}}, nil
}

func triggerURL(name string) string { return "/api/triggers/" + url.PathEscape(name) }

// Triggers lists triggers by name, of a workflow or of all.
func (c *Client) Triggers(ctx context.Context, of string, limit int, cursor string) (TriggerList, error) {
	return fetch[TriggerList](ctx, c, query{}.text("workflow", of).number("limit", int64(limit)).text("cursor", cursor).of("/api/triggers"))
}

// Trigger returns a trigger.
func (c *Client) Trigger(ctx context.Context, name string) (workflow.TriggerInfo, error) {
	return fetch[workflow.TriggerInfo](ctx, c, triggerURL(name))
}

// PutTrigger makes a trigger or changes it, if it is of a revision; 0 is any.
func (c *Client) PutTrigger(ctx context.Context, t workflow.Trigger, revision int64) (workflow.TriggerInfo, error) {
	var header []string
	if revision != 0 {
		header = []string{"If-Match", etag(revision)}
	}
	return tell[workflow.TriggerInfo](ctx, c, http.MethodPut, triggerURL(t.Name), t, header...)
}

// DeleteTrigger removes a trigger.
func (c *Client) DeleteTrigger(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, triggerURL(name), nil, nil)
}

// Deliver hands a delivery to a trigger as if it had been let in.
func (c *Client) Deliver(ctx context.Context, name string, r DeliverRequest) (HookDelivered, error) {
	return tell[HookDelivered](ctx, c, http.MethodPost, triggerURL(name)+"/deliver", r)
}

// TriggerTypes describes the types of triggers.
func (c *Client) TriggerTypes(ctx context.Context) (TriggerTypes, error) {
	return fetch[TriggerTypes](ctx, c, "/api/trigger-types")
}

// PauseTrigger begins or ends a pause of a trigger. An empty comment leaves the
// one that there is.
func (c *Client) PauseTrigger(ctx context.Context, name, comment string, paused bool) (workflow.TriggerInfo, error) {
	verb := "/resume"
	if paused {
		verb = "/pause"
	}
	return tell[workflow.TriggerInfo](ctx, c, http.MethodPost, triggerURL(name)+verb, PauseRequest{comment})
}
