package console

import (
	"context"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/graphlayout"
	"github.com/troupe-dev/troupe/workflow"
)

// Runs is the console's view of the node's workflow runs. It must be safe for
// concurrent use.
type Runs interface {
	// List returns the runs, newest first. It must not block.
	List() []workflow.RunInfo
	// Get returns one run, with the rows it set aside as far as they are kept.
	Get(id string) (workflow.RunInfo, bool)
	// Start starts the node's workflow again and returns the new run's id. The
	// run outlives ctx. FAILED_PRECONDITION if it cannot be started at this time.
	Start(ctx context.Context) (id string, err error)
	// Result reads a page of a table that a run wrote: up to limit rows after
	// the first offset. The sink is the id of the node that wrote it; "" means
	// the one to show first. NOT_FOUND if there is no such run or sink, or it
	// has not written a table.
	Result(ctx context.Context, id, sink string, limit, offset int) (Table, error)
}

// Table is a page of a table that a run wrote.
type Table struct {
	// Name is the table's name, for a heading.
	Name string `json:"name"`
	// Columns describe the rows.
	Columns []workflow.Column `json:"columns"`
	// Rows are the page.
	Rows []workflow.Row `json:"rows"`
	// Total is the number of rows of the whole table.
	Total int `json:"total"`
	// Sink is the id of the node that wrote the table.
	Sink string `json:"sink"`
	// Sinks are the ids of all sinks of the run that can be shown, Sink
	// included, the one to show first in front.
	Sinks []string `json:"sinks"`
}

// Result is the answer of /api/runs/{id}/result.
type Result struct {
	Table
	Limit  int `json:"limit"`
	Offset int `json:"offset"`
}

// RunSummary is one line of the list of runs.
type RunSummary struct {
	ID       string         `json:"id"`
	Workflow string         `json:"workflow"`
	State    workflow.State `json:"state"`
	Started  time.Time      `json:"started"`
	Finished time.Time      `json:"finished,omitzero"` // left out while it runs
	RowsIn   int64          `json:"rows_in"`           // rows that the sources met
	RowsOut  int64          `json:"rows_out"`          // rows that the sinks took
	Rejected int64          `json:"rejected"`          // rows set aside
}

// RunList is the answer of /api/runs.
type RunList struct {
	Runs     []RunSummary `json:"runs"` // newest first, at most RunsShown
	CanStart bool         `json:"can_start"`
}

// RunView is the answer of /api/runs/{id}.
type RunView struct {
	Run workflow.RunInfo `json:"run"`
	// Layouts are drawings of the graph, null if it is too large to draw.
	Layouts *Layouts `json:"layouts"`
}

// Layouts are a graph laid out for a wide and for a narrow page.
type Layouts struct {
	Right graphlayout.Layout `json:"right"`
	Down  graphlayout.Layout `json:"down"`
}

// Sizes of the graph on the page, in pixels.
const (
	nodeWidth, nodeHeight = 126, 72
	gapRight, gapDown     = 38, 42
	nodeGap               = 18
	handleChars           = 10  // of a handle's name on an edge; the page cuts the rest
	labelChar             = 6.5 // width of a character of an edge's label
)

// roomFor is the extra room that the names of handles need on the edges. That
// of the only output of a node, "out", is not shown; the figure beside the name
// fits into the gap.
func roomFor(edges []workflow.EdgeInfo) float64 {
	most := 0
	for _, e := range edges {
		if e.Handle != "out" {
			most = max(most, 1+min(handleChars, utf8.RuneCountInString(e.Handle)))
		}
	}
	return labelChar * float64(most)
}

// layoutsOf draws the graph of a run, or returns nil if it is too large.
func layoutsOf(run *workflow.RunInfo) *Layouts {
	nodes := make([]graphlayout.Node, 0, len(run.Nodes))
	for _, n := range run.Nodes {
		nodes = append(nodes, graphlayout.Node{ID: n.ID, Width: nodeWidth, Height: nodeHeight})
	}
	edges := make([]graphlayout.Edge, 0, len(run.Edges))
	for _, e := range run.Edges {
		edges = append(edges, graphlayout.Edge{From: e.From, To: e.To})
	}
	room := roomFor(run.Edges)
	right, err := graphlayout.Compute(nodes, edges, graphlayout.Options{LayerGap: gapRight + room, NodeGap: nodeGap})
	if err != nil {
		return nil
	}
	// Two edges of one node go half as far apart as the nodes they lead to.
	apart := max(nodeGap, 2*(gapRight+room)-nodeWidth)
	down, err := graphlayout.Compute(nodes, edges, graphlayout.Options{Direction: graphlayout.Down, LayerGap: gapDown, NodeGap: apart})
	if err != nil {
		return nil
	}
	return &Layouts{Right: right, Down: down}
}

func (s *snapshot) runList() RunList {
	list := RunList{Runs: make([]RunSummary, 0, min(len(s.runs), RunsShown))}
	for i := range s.runs[:min(len(s.runs), RunsShown)] {
		list.Runs = append(list.Runs, summaryOf(&s.runs[i]))
	}
	return list
}

func (c *Console) runList(s *snapshot) RunList {
	list := s.runList()
	list.CanStart = c.opts.Runs != nil
	return list
}

func (c *Console) getRuns(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, c.runList(c.snapshot()))
}

func noRun(id string) error {
	return (&fault.Error{Code: fault.NotFound, Op: "console", Message: "there is no run " + short(id), Hint: "the runs are listed by /api/runs"}).WithTarget(short(id))
}

func (c *Console) getRun(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if c.opts.Runs == nil {
		fail(w, noRun(id))
		return
	}
	run, ok := c.opts.Runs.Get(id)
	if !ok {
		fail(w, noRun(id))
		return
	}
	reply(w, http.StatusOK, RunView{Run: run, Layouts: layoutsOf(&run)})
}

func (c *Console) startRun(w http.ResponseWriter, r *http.Request) {
	if c.opts.Runs == nil {
		fail(w, fault.New(fault.FailedPrecondition, "console", "this node runs no workflow"))
		return
	}
	id, err := c.opts.Runs.Start(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Location", "/api/runs/"+id)
	reply(w, http.StatusAccepted, struct {
		ID string `json:"id"`
	}{id})
}

func (c *Console) getResult(w http.ResponseWriter, r *http.Request) {
	id, q := r.PathValue("id"), r.URL.Query()
	limit, err := number(q, "limit", RowsDefault, RowsMax)
	if err != nil {
		fail(w, err)
		return
	}
	offset, err := number(q, "offset", 0, maxOffset)
	if err != nil {
		fail(w, err)
		return
	}
	if c.opts.Runs == nil {
		fail(w, noRun(id))
		return
	}
	table, err := c.opts.Runs.Result(r.Context(), id, q.Get("sink"), limit, offset)
	if err != nil {
		fail(w, err)
		return
	}
	if table.Columns == nil {
		table.Columns = []workflow.Column{}
	}
	if table.Rows == nil {
		table.Rows = []workflow.Row{}
	}
	if table.Sinks == nil {
		table.Sinks = []string{}
	}
	reply(w, http.StatusOK, Result{Table: table, Limit: limit, Offset: offset})
}

func summaryOf(run *workflow.RunInfo) RunSummary {
	return RunSummary{
		ID: run.ID, Workflow: run.Workflow, State: run.State,
		Started: run.Started, Finished: run.Finished,
		RowsIn: run.RowsIn(), RowsOut: run.RowsOut(), Rejected: run.RejectedTotal,
	}
}
