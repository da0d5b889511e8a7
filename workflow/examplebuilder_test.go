package workflow_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/secret"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/csv"
	"github.com/troupe-dev/troupe/workflow/connector/http"
	"github.com/troupe-dev/troupe/workflow/transform"
)

func builderRegistry() *workflow.Registry {
	r := workflow.NewRegistry()
	csv.Register(r)
	http.Register(r)
	transform.Register(r)
	return r
}

// A workflow that is written in Go is the same document as one in YAML.
func ExampleBuilder() {
	b := workflow.NewBuilder("settlement").Description("Pays the open invoices of a day.")
	day := b.Input("day", workflow.KindDate).Doc("The day that is settled.")
	least := b.Input("least", workflow.KindFloat).Default(workflow.Float(10)).Doc("Smaller amounts wait.")

	invoices := b.Node("invoices", "source.csv", workflow.Config(csv.SourceConfig{
		Path:    "invoices-" + day.Text() + ".csv",
		Columns: workflow.Mapping[csv.ColumnConfig]{{Key: "id", Value: csv.ColumnConfig{Type: workflow.KindString}}, {Key: "amount", Value: csv.ColumnConfig{Type: workflow.KindFloat, Required: true}}},
	}))
	due := b.Node("due", "filter", workflow.Config(transform.FilterConfig{Where: workflow.Expr("amount >= " + least.Expr())})).From(invoices)
	paid := b.Node("paid", "sink.csv", workflow.Config(csv.SinkConfig{Path: "paid.csv"})).From(due)
	b.Node("later", "sink.csv", workflow.Config(csv.SinkConfig{Path: "later.csv"})).From(due.Out("else"))

	approve := b.Approval("approve", "Pay the invoices of "+day.Text()+"?", 72*time.Hour).After(paid)
	each := b.Foreach("each", workflow.ForeachConfig{Items: "['EUR', 'USD']", Parallel: 2}, func(s *workflow.Scope) {
		bank := s.Node("bank", "task.http", workflow.Config(http.TaskConfig{
			URL: "https://bank.example.org/${{ item }}",
			Headers: workflow.Mapping[http.HeaderValue]{
				{Key: "Authorization", Value: http.HeaderValue{Prefix: "Bearer ", Secret: secret.Env("BANK_TOKEN")}},
			},
		})).
			Retry(retry.Policy{Max: 5, Initial: time.Second}).Timeout(30*time.Second).
			Concurrency(2, "bank/${{ item }}").Rate(10, 5, "bank").Priority(7).
			Undo("task.http", workflow.Settings{workflow.Set("url", "https://bank.example.org/undo"), workflow.Set("method", "POST")}, time.Minute)
		s.Subworkflow("book", workflow.SubworkflowConfig{Workflow: "booking", Inputs: workflow.Mapping[string]{{Key: "currency", Value: "${{ item }}"}}}).After(bank)
	}).After(approve.Out("approved"))
	b.Wait("receipt", "receipt", 24*time.Hour).After(each)
	b.Output("steps.receipt.output")

	definition, err := b.Build(".", workflow.LoadOptions{Registry: builderRegistry(), Open: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := definition.YAML()
	fmt.Printf("%s%v\n", text, err)
	// Output:
	// name: settlement
	// description: Pays the open invoices of a day.
	// inputs:
	//   day:
	//     type: date
	//     doc: The day that is settled.
	//   least:
	//     type: float
	//     default: 10.0
	//     doc: Smaller amounts wait.
	// nodes:
	//   - id: invoices
	//     type: source.csv
	//     with:
	//       path: invoices-${day}.csv
	//       columns:
	//         id: string
	//         amount:
	//           type: float
	//           required: true
	//   - id: due
	//     type: filter
	//     from: invoices
	//     with:
	//       where: amount >= inputs.least
	//   - id: paid
	//     type: sink.csv
	//     from: due
	//     with:
	//       path: paid.csv
	//   - id: later
	//     type: sink.csv
	//     from: due.else
	//     with:
	//       path: later.csv
	//   - id: approve
	//     type: approval
	//     with:
	//       title: Pay the invoices of ${day}?
	//       timeout: 72h
	//     after: paid
	//   - id: each
	//     type: foreach
	//     with:
	//       items: '[''EUR'', ''USD'']'
	//       parallel: 2
	//     after: approve.approved
	//     do:
	//       - id: bank
	//         type: task.http
	//         with:
	//           url: https://bank.example.org/${{ item }}
	//           headers:
	//             Authorization:
	//               secret: env:BANK_TOKEN
	//               prefix: 'Bearer '
	//         retry:
	//           max: 5
	//           initial: 1s
	//         timeout: 30s
	//         concurrency:
	//           limit: 2
	//           key: bank/${{ item }}
	//         rate:
	//           per_second: 10
	//           burst: 5
	//           key: bank
	//         priority: 7
	//         undo:
	//           type: task.http
	//           with:
	//             url: https://bank.example.org/undo
	//             method: POST
	//           timeout: 1m
	//       - id: book
	//         type: workflow
	//         with:
	//           workflow: booking
	//           inputs:
	//             currency: ${{ item }}
	//         after: bank
	//   - id: receipt
	//     type: wait
	//     with:
	//       signal: receipt
	//       timeout: 24h
	//     after: each
	// output: steps.receipt.output
	// <nil>
}

// All mistakes are told at once, each with the node, the key, and the file and line
// of the call.
func ExampleBuilder_Build() {
	b := workflow.NewBuilder("invoices")
	invoices := b.Node("invoices", "source.csv", workflow.Config(csv.SinkConfig{Path: "invoices.csv"}))
	b.Node("due", "filtre", workflow.Settings{workflow.Set("where", "amount >= 10.0")}).From(invoices)
	b.Node("out", "sink.csv", nil).From(invoices).Timeout(-time.Second)

	_, err := b.Build(".", workflow.LoadOptions{Registry: builderRegistry()})
	var problems workflow.Problems
	errors.As(err, &problems)
	for _, p := range problems {
		fmt.Printf("%s, line %d: %s: %s\n", filepath.Base(p.File), p.Line-problems[0].Line, p.Path, p.Message)
	}
	// Output:
	// examplebuilder_test.go, line 0: invoices.with: a source.csv takes the configuration csv.SourceConfig, not csv.SinkConfig
	// examplebuilder_test.go, line 1: due.type: unknown node type "filtre"
	// examplebuilder_test.go, line 2: out.with.path: the required key "path" is missing
	// examplebuilder_test.go, line 2: out.timeout: expected a time that is not negative
}
