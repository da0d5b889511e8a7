package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/troupe-dev/troupe/console"
)

func (a *app) clusterCommand() *cobra.Command {
	return a.atNode(&cobra.Command{
		Use: "cluster", Short: "Show the nodes, with their health and what they run", Example: `  troupe cluster
  troupe cluster -o json`,
	}, nil, func(ctx context.Context, c *console.Client, _ []string) error {
		cluster, err := c.Cluster(ctx)
		if err != nil {
			return err
		}
		return a.print(cluster, func() error { return a.printCluster(cluster) })
	})
}

func (a *app) printCluster(cluster console.Cluster) error {
	rows := make([][]string, len(cluster.Members))
	for i := range cluster.Members {
		m := &cluster.Members[i]
		health := string(m.Health.Status)
		if m.Health.Detail != "" {
			health += ": " + clip(m.Health.Detail, errorColumn)
		}
		rows[i] = []string{
			printable(m.Name), printable(m.Version), clock(m.Started), string(m.Workflows), strconv.Itoa(m.Runs), strconv.Itoa(m.Actors),
			strconv.FormatUint(m.Memory>>20, 10) + " MiB", health,
		}
	}
	return a.printTable([]string{"NODE", "VERSION", "STARTED", "WORKFLOWS", "RUNS", "ACTORS", "MEMORY", "HEALTH"}, rows)
}
