package kafka_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing/fstest"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/console"
	"github.com/troupe-dev/troupe/workflow/connector/kafka"
	"github.com/troupe-dev/troupe/workflow/connector/memory"
	"github.com/troupe-dev/troupe/workflow/workflowtest"
)

// One workflow writes orders to a topic, another one reads them for a group.
func Example() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()

	const write = `
name: write
nodes:
  - id: rows
    type: source.memory
    with: {columns: {id: int, total: float}, rows: [[1, 9.5], [2, 12]]}
  - id: orders
    type: sink.kafka
    from: rows
    with: {brokers: [BROKER], topic: orders, key: string(id)}
`
	const read = `
name: read
nodes:
  - id: orders
    type: source.kafka
    with:
      brokers: [BROKER]
      topics: [orders]
      group: billing
      columns: {id: int, total: float}
      record: {offset: at}
  - {id: bill, type: sink.console, from: orders}
`
	registry := workflow.NewRegistry()
	kafka.Register(registry)
	memory.Register(registry)
	console.Register(registry, os.Stdout)
	for _, text := range []string{write, read} {
		text = strings.ReplaceAll(text, "BROKER", cluster.ListenAddrs()[0])
		files := fstest.MapFS{"w.yaml": {Data: []byte(text)}}
		definition, err := workflow.LoadFS(files, "w.yaml", workflow.LoadOptions{Registry: registry})
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := workflowtest.Run(context.Background(), definition, workflow.EngineOptions{Registry: registry, Files: files}); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println("committed:", cluster.GroupInfo("billing").Commits["orders"][0].Offset)
	// Output:
	// bill: 2 rows
	// id  total  at
	// 1   9.5    0
	// 2   12     1
	// committed: 3
}
