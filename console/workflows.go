package console

import (
	"context"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
)

// workflowRoutes adds the operations on workflows and their versions.
func (c *Console) workflowRoutes() {
	tags := []string{"workflows"}
	operation(c, huma.Operation{
		OperationID: "list-workflows", Method: http.MethodGet, Path: "/api/workflows", Tags: tags, Summary: "All workflows, each by its active version",
	}, c.listWorkflows)
	operation(c, huma.Operation{
		OperationID: "deploy-workflow", Method: http.MethodPost, Path: "/api/workflows", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Make a definition a version of the workflow of its name; a text that is there already makes no new one",
	}, c.deploy)
	operation(c, huma.Operation{
		OperationID: "get-workflow", Method: http.MethodGet, Path: "/api/workflows/{name}", Tags: tags, Summary: "The active version of a workflow; its ETag is for changes of it",
	}, c.getWorkflow)
	operation(c, huma.Operation{
		OperationID: "delete-workflow", Method: http.MethodDelete, Path: "/api/workflows/{name}", Tags: tags, DefaultStatus: http.StatusOK,
		Summary: "Delete a workflow that nothing needs any more; its runs can be read until they are pruned",
	}, c.deleteWorkflow)
	operation(c, huma.Operation{
		OperationID: "list-versions", Method: http.MethodGet, Path: "/api/workflows/{name}/versions", Tags: tags, Summary: "The versions of a workflow, newest first",
	}, c.listVersions)
	operation(c, huma.Operation{
		OperationID: "get-version", Method: http.MethodGet, Path: "/api/workflows/{name}/versions/{version}", Tags: tags, Summary: "A version, with its text and its graph laid out",
	}, c.getVersion)
	operation(c, huma.Operation{
		OperationID: "activate-version", Method: http.MethodPut, Path: "/api/workflows/{name}/active", Tags: tags,
		Summary: "Have new runs begin with a version, such as an older one; with If-Match, the ETag of the workflow, only if nobody else did",
	}, c.activate)
	operation(c, huma.Operation{
		OperationID: "diff-versions", Method: http.MethodGet, Path: "/api/workflows/{name}/diff", Tags: tags, Summary: "What differs between two versions, as far as it matters",
	}, c.diffVersions)
	operation(c, huma.Operation{
		OperationID: "start-run", Method: http.MethodPost, Path: "/api/workflows/{name}/runs", Tags: []string{"workflows", "runs"},
		DefaultStatus: http.StatusAccepted, Summary: "Start a run",
	}, c.startRun)
	operation(c, huma.Operation{
		OperationID: "list-node-types", Method: http.MethodGet, Path: "/api/node-types", Tags: tags, Summary: "What the nodes of a definition can be, each with its configuration",
	}, c.listNodeTypes)
}

// WorkflowList is the answer of GET /api/workflows, and the event "workflows" of
// the stream.
type WorkflowList struct {
	Workflows []workflow.Version `json:"workflows"` // by name, without texts
	// Next is the cursor of the next page; left out on the last one.
	Next string `json:"next,omitempty"`
}

// PageQuery is the query of a list that has no filter.
type PageQuery struct {
	Limit  int    `query:"limit" doc:"At most." minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" doc:"Where the page begins: next of the page before." maxLength:"1000"`
}

// pageOf cuts a page from a list that is in the order of its keys.
func pageOf[T any](all []T, keyOf func(T) string, q PageQuery) (page []T, next string, err error) {
	after, err := decodeCursor(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	page = []T{}
	for _, one := range all {
		if after != "" && keyOf(one) <= after {
			continue
		}
		if len(page) == q.Limit {
			return page, encodeCursor(keyOf(page[len(page)-1])), nil
		}
		page = append(page, one)
	}
	return page, "", nil
}

func (c *Console) listWorkflows(ctx context.Context, in *PageQuery) (*answered[WorkflowList], error) {
	list, err := c.workflowPage(ctx, *in)
	return &answered[WorkflowList]{list}, err
}

func (c *Console) workflowPage(ctx context.Context, q PageQuery) (WorkflowList, error) {
	list := WorkflowList{Workflows: []workflow.Version{}}
	if c.opts.Runs == nil {
		return list, nil
	}
	engine, err := c.engine()
	if err != nil {
		return list, err
	}
	all, err := engine.Workflows(ctx)
	if err != nil {
		return list, err
	}
	list.Workflows, list.Next, err = pageOf(all, func(v workflow.Version) string { return v.Workflow }, q)
	return list, err
}

// DeployRequest is the body of POST /api/workflows.
type DeployRequest struct {
	Text    string `json:"text" minLength:"1" maxLength:"1048576" doc:"The definition, YAML or JSON."`
	Comment string `json:"comment,omitempty" maxLength:"10000" doc:"What is new, for the list of versions."`
	File    string `json:"file,omitempty" maxLength:"4096" doc:"What messages call the definition. Default workflow.yaml."`
	// Activate false only adds the version, such as for a rollout; true makes it the
	// active one also if the text was there already. Left out, a new text is made
	// active, and one that was there leaves things as they are.
	Activate *bool  `json:"activate,omitempty" doc:"Whether new runs begin with it. Default: if it is new."`
	Dir      string `json:"dir,omitempty" maxLength:"4096" doc:"Absolute path, on the node's machine, of the directory where relative paths of sources begin. Default the node's working directory."`
}

type deployRequest struct {
	Body DeployRequest
}

func (c *Console) deploy(ctx context.Context, in *deployRequest) (*created[workflow.Version], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	definition, err := c.load(in.Body.File, in.Body.Dir, in.Body.Text)
	if err != nil {
		return nil, err
	}
	put := engine.Deploy
	if in.Body.Activate != nil && !*in.Body.Activate {
		put = engine.Stage
	}
	version, err := put(ctx, definition, in.Body.Comment)
	if err == nil && in.Body.Activate != nil && *in.Body.Activate && !version.Active {
		if err = engine.Activate(ctx, version.Workflow, version.Version); err == nil {
			version.Active = true
		}
	}
	if err != nil {
		return nil, err
	}
	c.touch()
	version.Text = ""
	return &created[workflow.Version]{versionURL(version.Workflow, version.Version), version}, nil
}

// load reads a definition that came in.
func (c *Console) load(file, dir, text string) (*workflow.Definition, error) {
	if dir != "" && !filepath.IsAbs(dir) {
		return nil, invalid("body.dir", "dir is %q; expected an absolute path", short(dir))
	}
	if file == "" {
		file = "workflow.yaml"
	}
	return workflow.LoadText(file, dir, []byte(text), workflow.LoadOptions{Registry: c.opts.Runs.Types(), Open: true})
}

func versionURL(name string, version int64) string {
	return workflowURL(name) + "/versions/" + strconv.FormatInt(version, 10)
}

// WorkflowPath is the parameter of a path to a workflow.
type WorkflowPath struct {
	Name string `path:"name" doc:"The workflow's name." maxLength:"200"`
}

type workflowRead struct {
	WorkflowPath
	Conditional
}

func (c *Console) getWorkflow(ctx context.Context, in *workflowRead) (*tagged[workflow.Version], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	version, err := engine.Version(ctx, in.Name, 0)
	if err != nil {
		return nil, err
	}
	return &tagged[workflow.Version]{etag(version.Version), version}, nil
}

type workflowDelete struct {
	WorkflowPath
	Prune bool `query:"prune" doc:"Remove its versions, too, and the runs that have ended with their histories and logs."`
}

func (c *Console) deleteWorkflow(ctx context.Context, in *workflowDelete) (*answered[workflow.DeletedWorkflow], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	deleted, err := engine.DeleteWorkflow(ctx, in.Name, workflow.DeleteOptions{Prune: in.Prune})
	c.touch()
	return &answered[workflow.DeletedWorkflow]{deleted}, err
}

// VersionList is the answer of GET /api/workflows/{name}/versions.
type VersionList struct {
	Versions []workflow.Version `json:"versions"` // newest first, without texts
	// Next is the cursor of the next page; left out on the last one.
	Next string `json:"next,omitempty"`
}

type versionsQuery struct {
	WorkflowPath
	PageQuery
}

func (c *Console) listVersions(ctx context.Context, in *versionsQuery) (*answered[VersionList], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	all, err := engine.Versions(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	var list VersionList
	// The newest stands first, so that the keys have to fall.
	list.Versions, list.Next, err = pageOf(all, func(v workflow.Version) string { return strconv.FormatInt(1<<62-v.Version, 10) }, in.PageQuery)
	return &answered[VersionList]{list}, err
}

// VersionView is the answer of GET /api/workflows/{name}/versions/{version}.
type VersionView struct {
	workflow.Version
	// Definition is the version as it was understood; left out if it cannot be
	// read any more.
	Definition *workflow.Definition `json:"definition,omitempty"`
	// Layouts are drawings of the graph, null if there are none.
	Layouts *Layouts `json:"layouts"`
	// Problem says why there is no definition.
	Problem string `json:"problem,omitempty"`
}

type versionRead struct {
	WorkflowPath
	Conditional
	Version int64 `path:"version" minimum:"1" doc:"The version's number."`
}

func (c *Console) getVersion(ctx context.Context, in *versionRead) (*tagged[VersionView], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	version, err := engine.Version(ctx, in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	view := VersionView{Version: version}
	if view.Definition, err = engine.Definition(ctx, in.Name, in.Version); err != nil {
		view.Problem = err.Error() // such as a source that is gone: the text is there all the same
	} else {
		view.Layouts = layoutsOfDefinition(view.Definition)
	}
	return tag(view)
}

type diffQuery struct {
	WorkflowPath
	From int64 `query:"from" minimum:"0" doc:"The older version; 0 is the active one."`
	To   int64 `query:"to" minimum:"0" doc:"The newer version; 0 is the active one."`
}

func (c *Console) diffVersions(ctx context.Context, in *diffQuery) (*answered[workflow.Diff], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	diff, err := engine.Diff(ctx, in.Name, in.From, in.To)
	return &answered[workflow.Diff]{diff}, err
}

// ActivateRequest is the body of PUT /api/workflows/{name}/active.
type ActivateRequest struct {
	Version int64 `json:"version" minimum:"1"`
}

type activateRequest struct {
	WorkflowPath
	IfMatch string `header:"If-Match" maxLength:"100" doc:"The ETag of the workflow that the decision was made on."`
	Body    ActivateRequest
}

func (c *Console) activate(ctx context.Context, in *activateRequest) (*tagged[workflow.Version], error) {
	engine, err := c.engine()
	if err != nil {
		return nil, err
	}
	expected, err := matched(in.IfMatch, "the workflow")
	if err != nil {
		return nil, err
	}
	if expected == 0 {
		err = engine.Activate(ctx, in.Name, in.Body.Version)
	} else {
		err = engine.ActivateFrom(ctx, in.Name, expected, in.Body.Version)
	}
	if err != nil {
		return nil, precondition(err)
	}
	c.touch()
	version, err := engine.Version(ctx, in.Name, 0)
	if err != nil {
		return nil, err
	}
	return &tagged[workflow.Version]{etag(version.Version), version}, nil
}

// precondition is the error of a change with If-Match: that somebody else was
// faster has a status of its own.
func precondition(err error) error {
	if fault.CodeOf(err) != fault.Aborted {
		return err
	}
	p := problemOf(err)
	p.Status = http.StatusPreconditionFailed
	return &apiError{p}
}

type startRequest struct {
	WorkflowPath
	Idempotent
	Body *RunRequest
}

func (c *Console) startRun(ctx context.Context, in *startRequest) (*created[RunStarted], error) {
	if _, err := c.engine(); err != nil {
		return nil, err
	}
	body := in.Body
	if body == nil {
		body = &RunRequest{}
	}
	return c.launch(ctx, in.Name, in.IdempotencyKey, *body)
}

// NodeTypes is the answer of GET /api/node-types.
type NodeTypes struct {
	Types []workflow.TypeInfo `json:"types"` // by role, then by name
}

func (c *Console) listNodeTypes(_ context.Context, _ *Conditional) (*tagged[NodeTypes], error) {
	if c.opts.Runs == nil {
		return tag(NodeTypes{[]workflow.TypeInfo{}})
	}
	return tag(NodeTypes{c.opts.Runs.Types().Types()})
}

// matched reads If-Match: the version of what it is about, 0 if any will do.
func matched(text, what string) (int64, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(text, `"`), 10, 64)
	if err != nil || n < 1 || etag(n) != text {
		return 0, invalid("If-Match", "If-Match is %q; expected the ETag of %s, such as %s", short(text), what, etag(1))
	}
	return n, nil
}
