package console_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	quick  = "name: quick\nnodes:\n  - {id: one, type: value, with: {output: '1'}}\n"
	faulty = "name: faulty\nnodes:\n  - {id: bad, type: task.shell, with: {run: 'echo it broke >&2; exit 3'}}\n"
	asking = "name: asking\nnodes:\n  - {id: ok, type: approval, with: {title: 'Go on?'}}\n"
)

// launch starts a run and, unless it waits for somebody, waits for its end.
func launch(t *testing.T, n *node.Node, name, key string) string {
	t.Helper()
	run, err := n.Runs().Launch(t.Context(), name, workflow.StartOptions{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if name != "asking" {
		if info, err := run.Wait(t.Context()); !info.State.Final() {
			t.Fatal(err)
		}
	}
	return run.ID()
}

// Req W12: the list of runs is filtered and paged by the node, its address holds the
// filter, and runs come in live without moving what somebody reads.
func TestRunsPage(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, quick, faulty, asking)
	count := func(rows int) string {
		return fmt.Sprintf(`document.querySelectorAll("table.runs tbody tr").length === %d`, rows)
	}
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"runs"))
	b.until(t, `document.querySelector(".empty code")?.textContent === "troupe workflow start NAME"`)
	b.shoot(t, "runs-empty")
	for i := range 60 {
		if _, err := n.Runs().Launch(t.Context(), "quick", workflow.StartOptions{Key: fmt.Sprintf("key-%d", i%3)}); err != nil {
			t.Fatal(err)
		}
	}
	launch(t, n, "faulty", "key-0")
	b.until(t, count(50))
	b.until(t, `document.querySelector("table.runs .c-why").textContent.includes("it broke")`)
	pagesLook(t, b, "runs", "table.runs tbody tr")

	set := func(name, value string) {
		b.run(t, name+"="+value, fill(fmt.Sprintf(`main form [name=%q]`, name), value))
	}
	b.run(t, "older", click(".letters-pager button", "Older"))
	b.until(t, count(11)+` && location.search.includes("cursor=")`)
	b.run(t, "newer", click(".letters-pager button", "Newer"))
	b.until(t, count(50)+` && !location.search.includes("cursor=")`)
	set("key", "key-1")
	b.until(t, count(20)+` && location.search === "?key=key-1"`)
	b.until(t, `document.querySelector(".page-cli code").textContent === "troupe run list --key key-1"`)
	set("workflow", "faulty")
	b.until(t, count(0)+` && [...document.querySelectorAll(".empty")].some(e => e.checkVisibility() && e.textContent.startsWith("No run is like that."))`)
	set("key", "")
	b.until(t, count(1))
	set("workflow", "")
	set("state", "failed")
	b.until(t, count(1)+` && location.search === "?state=failed"`)
	b.run(t, "load it again", chromedp.Navigate(n.URL()+"runs?state=failed"))
	b.until(t, count(1)+` && document.querySelector('main form [name="state"]').value === "failed"`)

	// A run that waits comes in by itself, and stays where the reader is.
	b.run(t, "without a filter", chromedp.Navigate(n.URL()+"runs"))
	b.until(t, count(50))
	waiting := launch(t, n, "asking", "")
	b.until(t, fmt.Sprintf(`document.querySelector("table.runs tbody tr").dataset.key === %q`, waiting))
	b.run(t, "to the list by keyboard", focus(`table.runs tbody tr:nth-child(2) a`))
	next := launch(t, n, "asking", "")
	b.until(t, seen(".fresh-runs")+`?.textContent === "Show 1 new run"`)
	if got := eval[string](t, b, `document.querySelector("table.runs tbody tr").dataset.key`); got != waiting {
		t.Errorf("the list moved while somebody read it: %s is first", got)
	}
	b.run(t, "show it", press(`.fresh-runs`))
	b.until(t, fmt.Sprintf(`document.querySelector("table.runs tbody tr").dataset.key === %q && document.activeElement.title === %[1]q`, next))
	b.run(t, "open it", chromedp.KeyEvent(kb.Enter))
	b.until(t, fmt.Sprintf(`location.pathname === "/runs/%s"`, next))
	b.until(t, nodeIs("ok", "waiting"))
	clean(t, b)
}
