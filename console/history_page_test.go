package console_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/store"
	"github.com/troupe-dev/troupe/wire"
	"github.com/troupe-dev/troupe/workflow"
)

// shaky is a workflow whose only task is tried very often.
const shaky = `name: shaky
nodes:
  - {id: call, type: task.shell, retry: {max: 3}, with: {run: "exit 75"}}
`

// longRun writes the history of a run that has ended, of so many events, an even
// number, straight into the store.
func longRun(t *testing.T, n *node.Node, id string, events int) {
	t.Helper()
	kind := wire.CBOR[workflow.Event]("workflow.Event")
	at := time.Now().Add(-time.Hour)
	event := func(seq int) workflow.Event {
		e := workflow.Event{At: at.Add(time.Duration(seq) * time.Millisecond), Node: "call", Attempt: seq / 2}
		switch {
		case seq == 1:
			e.Type, e.Node, e.Attempt, e.Start = workflow.WorkflowStarted, "", 0, &workflow.RunStart{Version: 1, Trigger: "test"}
		case seq == events:
			e.Type, e.Node, e.Attempt, e.Error = workflow.WorkflowFailed, "", 0, "call: it never worked"
		case seq == events-1:
			e.Type, e.Error = workflow.NodeFailed, "it never worked"
		case seq%2 == 0:
			e.Type = workflow.NodeStarted
		default:
			e.Type, e.Error, e.Until = workflow.NodeRetried, "not now", e.At
		}
		return e
	}
	const batch = 2000
	for from := 1; from <= events; from += batch {
		var list []store.Event
		for seq := from; seq < min(from+batch, events+1); seq++ {
			e := event(seq)
			m, err := kind.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			stored := store.Event{Time: e.At, Type: string(e.Type), Data: m.Data}
			if seq == 1 {
				stored.Meta = []byte("shaky")
			}
			list = append(list, stored)
		}
		_, err := n.Store().Commit(t.Context(), &store.Batch{Appends: []store.Append{{Stream: store.Stream("run/" + id), Expected: store.Position(from - 1), Events: list}}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Req W12: a history of any length is read as far as it is looked at. With
// TROUPE_HISTORY_EVENTS=1000000 the test prints figures of a long one.
func TestHistoryPage(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, shaky)
	events := 20_000
	if text := os.Getenv("TROUPE_HISTORY_EVENTS"); text != "" {
		var err error
		if events, err = strconv.Atoi(text); err != nil || events < 1000 || events%2 != 0 {
			t.Fatalf("TROUPE_HISTORY_EVENTS is %q; expected an even number from 1000 on", text)
		}
	}
	const id = "01a20000-0000-7000-8000-000000000001"
	longRun(t, n, id, events)
	text := func(n int) string { return fmt.Sprintf("new Intl.NumberFormat('en').format(%d)", n) }
	row := func(seq int) string {
		return fmt.Sprintf(`[...document.querySelectorAll(".event-row")].find(e => e.children[0].textContent === %s && e.children[2].textContent !== "…")`, text(seq))
	}

	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"runs/"+id+"?tab=history"))
	b.until(t, row(1)+`?.children[2].textContent === "WorkflowStarted"`)
	b.until(t, `document.querySelector(".history .count").textContent === `+text(events)+` + " events"`)
	t.Logf("%d events: first paint after %.0f ms, first rows after %.0f ms, %d elements, heap %.1f MB", events,
		eval[float64](t, b, `performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0`),
		eval[float64](t, b, `performance.getEntriesByType("resource").filter(e => e.name.includes("/history?")).at(-1).responseEnd`),
		eval[int](t, b, `document.querySelectorAll("*").length`), eval[float64](t, b, `performance.memory.usedJSHeapSize / 1e6`))
	b.shoot(t, "history-long")

	// To the end by a key, to the middle by its number.
	began := time.Now()
	b.run(t, "end", focus(`.history-list`), chromedp.KeyEvent(kb.End))
	b.until(t, row(events)+`?.children[2].textContent === "WorkflowFailed"`)
	t.Logf("at the end after %v", time.Since(began))
	began = time.Now()
	b.run(t, "go to the middle", send(".history form", "input", strconv.Itoa(events/2)))
	b.until(t, row(events/2)+`?.getAttribute("aria-selected") === "true"`)
	b.until(t, fmt.Sprintf(`document.querySelector(".event-detail h3")?.textContent.startsWith("Event " + %s)`, text(events/2)))
	t.Logf("in the middle after %v", time.Since(began))
	b.run(t, "one row on", focus(`.history-list`), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.Enter))
	b.until(t, fmt.Sprintf(`document.querySelector(".event-detail h3")?.textContent.startsWith("Event " + %s)`, text(events/2+1)))

	// Through all of it in stops, some of them short: the document stays small, and
	// at each stop no more is asked for than is seen there.
	const stops = 100
	b.run(t, "scroll", chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(async () => {
		const list = document.querySelector(".history-list");
		window.most = 0;
		for (let i = 0; i <= %d; i++) {
			list.scrollTop = i / %[1]d * (list.scrollHeight - list.clientHeight);
			await new Promise(requestAnimationFrame);
			window.most = Math.max(window.most, document.querySelectorAll(".event-row").length);
		}
		window.scrolled = true;
	})()`, stops)))
	b.until(t, `window.scrolled === true`)
	b.until(t, row(events)+`?.children[2].textContent === "WorkflowFailed"`)
	rows := eval[int](t, b, `window.most`)
	elements := eval[int](t, b, `document.querySelectorAll("*").length`)
	asked := eval[int](t, b, `performance.getEntriesByType("resource").filter(e => e.name.includes("/history?")).length`)
	t.Logf("after %d stops: %d rows at most, %d elements, %d requests, heap %.1f MB", stops, rows, elements, asked,
		eval[float64](t, b, `performance.memory.usedJSHeapSize / 1e6`))
	if rows == 0 || rows > 80 || elements > 2500 {
		t.Errorf("%d rows and %d elements are in the document", rows, elements)
	}
	if asked == 0 || asked > 2*stops+20 {
		t.Errorf("%d requests for %d stops", asked, stops)
	}

	// What matches a filter is searched for by the node.
	b.run(t, "only the failure", fill(`select[aria-label="Type"]`, "NodeFailed"))
	for searched := 200_000; searched < events; searched += 200_000 {
		b.until(t, fmt.Sprintf(`(e => e.includes(" of ") || Number(e.split(" ").at(-1).replaceAll(",", "")) >= %d)(document.querySelector(".history .count").textContent)`, searched))
	}
	b.until(t, `document.querySelector(".history .count").textContent === "1 of " + `+text(events)+` + " match"`)
	b.until(t, fmt.Sprintf(`document.querySelectorAll(".event-row").length === 1 && document.querySelector(".event-row").children[0].textContent === %s`, text(events-1)))

	// The timeline reads some pages of it, and goes on when it is told to.
	b.run(t, "timeline", click(".tab", "Timeline"))
	if events > 20_000 {
		b.until(t, `document.querySelector(".timeline .count").textContent.includes("of the first 20,000 events")`)
		b.run(t, "read on", click(".timeline button", "Read on"))
	}
	b.until(t, fmt.Sprintf(`document.querySelector(".timeline .count").textContent.startsWith(%s + " spans")`, text(min(events, 40_000)/2)))
	clean(t, b)
}
