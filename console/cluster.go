package console

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Cluster is the answer of GET /api/cluster.
type Cluster struct {
	Members []Member `json:"members"` // by name; the node that answers is one of them
}

// Member is a node of a cluster, as it knows itself.
type Member struct {
	Name    string    `json:"name"`
	Self    bool      `json:"self"` // it is the one that answers
	Version string    `json:"version"`
	Go      string    `json:"go"`
	Started time.Time `json:"started"`
	Health  Health    `json:"health"`
	Actors  int       `json:"actors"`
	Memory  uint64    `json:"memory_bytes"` // held from the operating system
	// Workflows says what it does about workflows.
	Workflows MemberRole `json:"workflows"`
	// Runs is how many runs it has in memory.
	Runs int `json:"runs"`
}

// MemberRole is what a node does about workflows.
type MemberRole string

// The roles of members.
const (
	MemberRuns    MemberRole = "runs"    // it runs those of its store
	MemberStandby MemberRole = "standby" // another node does, and it takes over when that ends
	MemberNone    MemberRole = "none"    // it has none
)

// clusterRoutes adds the operation on the cluster.
func (c *Console) clusterRoutes() {
	operation(c, huma.Operation{
		OperationID: "get-cluster", Method: http.MethodGet, Path: "/api/cluster", Tags: []string{"node"}, Summary: "The nodes, with their health and what they run",
	}, c.getCluster)
}

// getCluster tells of the one node that there is: links between nodes make more
// members.
func (c *Console) getCluster(_ context.Context, _ *struct{}) (*answered[Cluster], error) {
	s := c.snapshot()
	self := Member{
		Name: s.node.Name, Self: true, Version: s.node.Version, Go: s.node.Go, Started: s.node.Started, Health: s.node.Health,
		Actors: s.node.Totals.Actors, Memory: s.node.Memory, Workflows: MemberNone,
	}
	if c.opts.Runs != nil {
		self.Workflows = MemberStandby
		if engine := c.opts.Runs.Engine(); engine != nil {
			self.Workflows, self.Runs = MemberRuns, engine.Live()
		}
	}
	return &answered[Cluster]{Cluster{[]Member{self}}}, nil
}

// Cluster returns the nodes of a cluster.
func (c *Client) Cluster(ctx context.Context) (Cluster, error) {
	return fetch[Cluster](ctx, c, "/api/cluster")
}
