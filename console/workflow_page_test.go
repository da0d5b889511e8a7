package console_test

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

// orders is a workflow with everything that a page of a run has to show: a block,
// an approval, a signal, an attempt that fails, and rows.
const orders = `name: orders
description: What a shop does with the orders of a day.
inputs:
  day: {type: date, default: 2026-01-31, doc: Whose orders they are.}
  limit: {type: int, default: 3, doc: How many are picked at most.}
nodes:
  - id: numbers
    type: source.sequence
    with: {count: 2000}
  - {id: even, type: filter, from: numbers, with: {where: n % 2 == 0}}
  - {id: file, type: sink.csv, from: even, with: {path: orders.csv}}
  - id: each
    type: foreach
    after: file
    with: {items: "[1, 2, 3]"}
    do:
      - {id: pick, type: value, with: {output: item}}
      - {id: pack, type: value, after: pick, with: {output: item * 10}}
  - {id: boss, type: approval, after: each, with: {title: Ship the orders of the day?}}
  - {id: truck, type: wait, after: boss.approved, with: {signal: arrived}}
  - id: ship
    type: task.shell
    after: truck
    with: {run: "echo shipping; test -e stamp || { touch stamp; echo no stamp >&2; exit 3; }"}
`

// startNode runs a node with workflows deployed on it.
func startNode(t *testing.T, texts ...string) *node.Node {
	t.Helper()
	config := node.DefaultConfig()
	config.HTTP.Port, config.DataDir = 0, filepath.Join(t.TempDir(), "data")
	config.Runs.Keep, config.Runs.MaxActive = 100, 100
	n, err := node.New(config, node.Options{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, text := range texts {
		deploy(t, n, text)
	}
	return n
}

// deploy makes a text a version of its workflow.
func deploy(t *testing.T, n *node.Node, text string) {
	t.Helper()
	d, err := workflow.LoadText("orders.yaml", t.TempDir(), []byte(text), workflow.LoadOptions{Registry: node.NodeTypes(), Open: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Runs().Engine().Deploy(t.Context(), d, "by the test"); err != nil {
		t.Fatal(err)
	}
}

// dialog answers the dialog that a button opens.
func dialog(t *testing.T, b *browser, label string, fields map[string]string) {
	t.Helper()
	b.until(t, `document.querySelector("dialog[open]") !== null`)
	for name, value := range fields {
		b.run(t, "fill "+name, fill(fmt.Sprintf(`dialog [name=%q]`, name), value))
	}
	b.until(t, fmt.Sprintf(`[...document.querySelectorAll("dialog button")].some(e => e.textContent === %q && !e.disabled)`, label)) // it may be tried first
	b.run(t, label, click("dialog button", label))
	b.until(t, `document.querySelector("dialog[open]") === null`)
}

// nodeIs says what the state of a node on the graph of a run is.
func nodeIs(id, state string) string {
	return fmt.Sprintf(`%s?.dataset.state === %q`, seen(fmt.Sprintf(`.graph [data-node=%q]`, id)), state)
}

// Req W12: a run that is started on the page appears there live, is approved,
// signalled, fails, is retried and completes, without the page being loaded again.
func TestRunPage(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, orders)
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"workflows"))
	b.until(t, `document.querySelector("table.workflows tbody th a")?.textContent === "orders"`)
	b.run(t, "mark the document", chromedp.Evaluate[chromedp.Void](`window.sameDocument = true`))
	b.run(t, "open the workflow", click("table.workflows a", "orders"))
	b.until(t, `location.pathname === "/workflows/orders" && document.querySelectorAll(".graph.still .node").length === 9`)
	b.until(t, `document.title === "orders · Troupe"`)

	pageStart(t, b)
	pageAnswers(t, b)
	pageRetry(t, b)
	pageTabs(t, b)
	pagesLook(t, b, "run", `.graph .node`)
	pageRerun(t, b)
	if !eval[bool](t, b, `window.sameDocument === true`) {
		t.Error("the page was loaded again")
	}
	clean(t, b)
}

// clean reports what the browser's console has said. Answers that refuse a request
// are shown there too.
func clean(t *testing.T, b *browser) {
	t.Helper()
	for _, m := range b.said() {
		if !strings.Contains(m, "status of 400") {
			t.Errorf("the browser's console is not clean: %s", m)
		}
	}
}

func pageStart(t *testing.T, b *browser) {
	field := func(name, value string) {
		b.run(t, name, fill("#start-"+name, value))
	}
	b.until(t, `document.querySelector("#start-day").value === "2026-01-31" && document.querySelector("#start-limit").value === "3"`)
	field("limit", "many")
	field("key", "shop 7")
	b.until(t, `document.querySelector(".start-form .command code").textContent === "troupe workflow start orders --input limit=many --key 'shop 7'"`)
	b.run(t, "start", click("button", "Start a run"))
	b.until(t, `!document.querySelector("#start-limit-error").hidden && document.activeElement.id === "start-limit" && document.activeElement.getAttribute("aria-invalid") === "true"`)
	b.shoot(t, "workflow-refused")
	field("limit", "2")
	b.run(t, "start", click("button", "Start a run"))
	b.until(t, `location.pathname.startsWith("/runs/")`)
}

func pageAnswers(t *testing.T, b *browser) {
	b.until(t, nodeIs("even", "completed"))
	b.until(t, nodeIs("each", "completed"))
	b.until(t, nodeIs("boss", "waiting"))
	b.until(t, seen(`.graph [data-node="even"] .rows`)+`.textContent === "2,000 → 1,000"`)
	b.until(t, seen(`.graph [data-node="pick"] .rows`)+`.textContent === "3 done"`)
	b.until(t, `[...document.querySelectorAll(".waits")].find(e => e.checkVisibility())?.textContent.includes("Ship the orders of the day?")`)
	b.shoot(t, "run-waiting")
	b.run(t, "approve", click(".waits button", "Approve…"))
	b.until(t, `document.querySelector("dialog code").textContent.startsWith("troupe run approve ")`)
	b.shoot(t, "run-dialog")
	dialog(t, b, "Approve", map[string]string{"comment": "fine"})
	b.until(t, nodeIs("boss", "completed"))
	b.until(t, nodeIs("truck", "waiting"))
	b.run(t, "signal", click(".waits button", "Send it…"))
	dialog(t, b, "Send", map[string]string{"payload": `{"driver": "ada"}`})
	b.until(t, nodeIs("truck", "completed"))
}

func pageRetry(t *testing.T, b *browser) {
	b.until(t, nodeIs("ship", "failed"))
	b.until(t, seen(`.state-badge[data-state="failed"]`)+` !== undefined`)
	b.until(t, `[...document.querySelectorAll(".problem")].some(e => e.checkVisibility() && e.textContent.includes("ship"))`)
	b.run(t, "retry", click(".actions button", "Retry…"))
	dialog(t, b, "Retry", nil)
	b.until(t, nodeIs("ship", "completed"))
	b.until(t, `[...document.querySelectorAll(".actions button")].filter(e => e.checkVisibility()).map(e => e.textContent).join() === "Rerun…"`)
}

// pageTabs reads what has happened in all its forms.
func pageTabs(t *testing.T, b *browser) {
	b.until(t, `[...document.querySelectorAll(".timeline-row .t-name")].some(e => e.textContent === "ship")`)
	b.run(t, "history", click(".tab", "History"))
	b.until(t, `location.search.includes("tab=history") && document.querySelector(".event-row .e-type")?.textContent === "WorkflowStarted"`)
	b.run(t, "only one type", fill(`select[aria-label="Type"]`, "NodeFailed"))
	b.until(t, `[...document.querySelectorAll(".event-row")].length === 1 && document.querySelector(".event-row .e-of").textContent === "ship"`)
	b.run(t, "its details", press(`.event-row`))
	b.until(t, `document.querySelector(".event-detail pre").textContent.includes("NodeFailed") && location.search.includes("event=")`)
	b.shoot(t, "run-history")
	b.run(t, "logs", click(".tab", "Logs"))
	b.until(t, `[...document.querySelectorAll(".log-row .l-text")].some(e => e.textContent.includes("no stamp"))`)
	b.shoot(t, "run-logs")
	b.run(t, "only warnings", fill(".logs select", "ERROR"))
	b.until(t, `document.querySelectorAll(".log-row").length === 0 && location.search.includes("level=ERROR")`)
	b.run(t, "result", click(".tab", "Result"))
	b.until(t, `document.querySelectorAll(".tabbed table.data tbody tr").length === 200`)
	b.run(t, "open a node", pointer(seen(`.graph [data-node="truck"]`)))
	b.until(t, seen(`.node-details pre.json`)+`?.textContent.includes("ada")`)
}

func pageRerun(t *testing.T, b *browser) {
	before := eval[string](t, b, `location.pathname`)
	b.run(t, "rerun", click(".actions button", "Rerun…"))
	dialog(t, b, "Start a new run", map[string]string{"from": "boss"})
	b.until(t, fmt.Sprintf(`location.pathname.startsWith("/runs/") && location.pathname !== %q`, before))
	b.until(t, nodeIs("each", "completed"))
	b.until(t, nodeIs("boss", "waiting"))
	b.run(t, "cancel", click(".actions button", "Cancel…"))
	b.until(t, `document.activeElement.textContent === "Cancel"`)
	dialog(t, b, "Cancel the run", map[string]string{"reason": "it rains"})
	b.until(t, seen(`.state-badge[data-state="cancelled"]`)+` !== undefined`)
	b.until(t, nodeIs("boss", "cancelled"))
}

// pagesLook looks at the page on display in two widths and both themes: nothing
// leaves the window, and all text can be read.
func pagesLook(t *testing.T, b *browser, name, ready string) {
	t.Helper()
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 1440} {
			shot := fmt.Sprintf("%s-%s-%d", name, theme, width)
			b.run(t, shot, view(width, 900, theme))
			b.until(t, fmt.Sprintf(`innerWidth === %d && document.querySelector(%q) !== null`, width, ready))
			b.run(t, "two frames", chromedp.Evaluate[chromedp.Void](`new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))`))
			b.shoot(t, shot)
			if over := eval[int](t, b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				wide := eval[string](t, b, `[...document.querySelectorAll("main *, header *")].filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".graph, .table-scroll")).map(e => e.tagName + "." + e.className).slice(0, 5).join(" ")`)
				t.Errorf("%s: the page is %d px wider than the window: %s", shot, over, wide)
			}
			for _, low := range b.contrast(t) {
				t.Errorf("%s: contrast too low: %s", shot, low)
			}
		}
	}
	b.run(t, "the first view again", view(1440, 900, "light"))
	if bare := eval[string](t, b, `[...document.querySelectorAll("main input, main textarea, main select, main button")].filter(e => e.checkVisibility() && !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label")) || e.tagName === "SELECT" && !e.labels?.length && !e.getAttribute("aria-label")).map(e => e.outerHTML.slice(0, 80)).join("; ")`); bare != "" {
		t.Errorf("these have no name for a screen reader: %s", bare)
	}
}
