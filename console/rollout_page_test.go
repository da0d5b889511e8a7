package console_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/troupe-dev/troupe/node"
	"github.com/troupe-dev/troupe/workflow"
)

// stageText adds a version of a workflow that gets no runs yet.
func stageText(t *testing.T, n *node.Node, text string) {
	t.Helper()
	d, err := workflow.LoadText("quick.yaml", t.TempDir(), []byte(text), workflow.LoadOptions{Registry: node.NodeTypes(), Open: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Runs().Engine().Stage(t.Context(), d, "by the test"); err != nil {
		t.Fatal(err)
	}
}

// startUntil starts runs, one after the other, until a rollout is as is wanted.
func startUntil(t *testing.T, n *node.Node, is func(workflow.RolloutInfo) bool) {
	t.Helper()
	for i := range 2000 {
		launch(t, n, "quick", fmt.Sprintf("customer %d", i))
		r, err := n.Runs().Engine().Rollout(t.Context(), "quick")
		if err != nil {
			t.Fatal(err)
		}
		if is(r) {
			return
		}
	}
	t.Fatal("2,000 runs do not bring the rollout there")
}

// Req W10, W12: a version gets 5, 20 and 100 percent of the runs, one that fails is
// taken back by itself, and a split gives shares; all of it is seen without the page
// being loaded again, and what stored runs would do is shown before.
func TestRolloutPage(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, quick)
	launch(t, n, "quick", "")
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"workflows/quick?tab=rollout"))
	b.until(t, `document.querySelector(".rollout .quiet-text")?.textContent.startsWith("There is one version.")`)
	stageText(t, n, quick+"description: The same.\n")
	b.run(t, "open again", chromedp.Navigate(n.URL()+"workflows/quick?tab=rollout"), chromedp.Evaluate[chromedp.Void](`window.sameDocument = true`))

	begin := func(fields map[string]string, trial string, agree bool) {
		t.Helper()
		b.until(t, `document.querySelector(".rollout button")?.disabled === false`)
		b.run(t, "roll out", click(".rollout button", "Roll out a version…"))
		b.until(t, fmt.Sprintf(`document.querySelector(".dialog-trial")?.textContent.includes(%q)`, trial))
		b.until(t, `document.querySelector("dialog code").textContent.startsWith("troupe workflow rollout quick --candidate ")`)
		if agree {
			b.shoot(t, "rollout-differs")
			b.run(t, "without agreeing", click("dialog button", "Begin"))
			b.run(t, "agree", press(".dialog-trial input"))
		}
		dialog(t, b, "Begin", fields)
	}
	begin(map[string]string{"step_after": "1ms", "min_runs": "3", "max_latency": "100000"}, "Tried on 1 stored run: it goes the same way.", false)
	b.until(t, `document.querySelector(".rollout-state")?.textContent.includes("Version 2 in place of 1active") && document.querySelector(".rollout-state").textContent.includes("step 1 of 3: 5 % of the runs")`)
	startUntil(t, n, func(r workflow.RolloutInfo) bool { return r.Percent == 20 })
	b.until(t, `document.querySelector(".rollout-state").textContent.includes("step 2 of 3: 20 % of the runs")`)
	figures := `[...document.querySelectorAll('table[aria-label="Figures of the versions"] tbody tr')].map(e => [...e.children].map(c => c.textContent))`
	b.until(t, figures+`.length === 2 && `+figures+`[0][1] === "80 %" && Number(`+figures+`[0][2]) > 0 && `+figures+`[1][0] === "v2 candidate" && `+figures+`[1][1] === "20 %" && Number(`+figures+`[1][3]) > 0`)
	pagesLook(t, b, "rollout", ".rollout-state")
	startUntil(t, n, func(r workflow.RolloutInfo) bool { return r.State == workflow.RolloutCompleted })
	b.until(t, `document.querySelector(".rollout-state .badge").textContent === "completed" && `+seen(".card-head .badge")+`.textContent === "v2 · active"`)
	if v, err := n.Runs().Engine().Version(t.Context(), "quick", 0); err != nil || v.Version != 2 {
		t.Errorf("version %d is active: %v", v.Version, err)
	}

	// One that fails, and of which stored runs tell nothing.
	stageText(t, n, strings.Replace(quick, "value, with: {output: '1'}", "value, with: {output: '1 / 0'}", 1))
	b.run(t, "look again", click(".tab", "Versions"), click(".tab", "Rollout"))
	b.until(t, `document.querySelectorAll(".rollout-changes li").length > 0`)
	begin(map[string]string{"steps": "50, 100", "step_after": "1h", "max_latency": "100000"}, "differ", true)
	startUntil(t, n, func(r workflow.RolloutInfo) bool { return r.State == workflow.RolloutRolledBack })
	b.until(t, `document.querySelector(".rollout-state .badge").textContent === "rolled back" && document.querySelector(".rollout .quiet-text").textContent.includes("fail")`)
	b.until(t, `Number(`+figures+`[1][4]) > 2`)
	b.shoot(t, "rollout-rolled-back")
	b.until(t, seen(".card-head .badge")+`.textContent === "v2 · active"`)

	b.run(t, "split", click(".rollout button", "Split the runs…"))
	b.until(t, `document.querySelector("dialog code")?.textContent === "troupe workflow rollout quick --split 2=50,3=50"`)
	b.run(t, "fill", fill("dialog [name=split]", "1=30, 2=70"))
	b.until(t, `document.querySelector("dialog code").textContent.endsWith("--split 1=30,2=70")`)
	b.until(t, `[...document.querySelectorAll("dialog button")].some(e => e.textContent === "Begin" && !e.disabled) && document.querySelector(".dialog-trial input") !== null`) // the runs that have failed would not
	b.run(t, "agree", press(".dialog-trial input"))
	dialog(t, b, "Begin", nil)
	b.until(t, figures+`.map(r => r[0] + r[1]).join() === "v130 %,v270 %" || `+figures+`.map(r => r[1]).join() === "30 %,70 %"`)
	startUntil(t, n, func(r workflow.RolloutInfo) bool { return r.Arms[0].Runs > 0 && r.Arms[1].Runs > 0 })
	b.until(t, figures+`.every(r => Number(r[2]) > 0)`)
	pagesLook(t, b, "split", ".rollout-state")
	b.run(t, "end it", click(".rollout button", "End it…"))
	b.until(t, `document.querySelector("dialog code").textContent === "troupe workflow rollout quick --end"`)
	dialog(t, b, "End the rollout", nil)
	b.until(t, `document.querySelector(".rollout-state .badge").textContent === "ended"`)
	if !eval[bool](t, b, `window.sameDocument === true`) {
		t.Error("the page was loaded again")
	}
	b.run(t, "all workflows", chromedp.Navigate(n.URL()+"workflows"))
	b.until(t, `document.querySelector("table.workflows .c-rollout")?.textContent === "ended"`)
	clean(t, b)
}

// Req W9, W12: a workflow is deleted on its page, and it is said what keeps it.
func TestDeleteWorkflowPage(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, quick)
	schedule := workflow.Schedule{Name: "nightly", Workflow: "quick", Cron: "30 2 * * *"}
	if _, err := n.Runs().Engine().PutSchedule(t.Context(), schedule, 0); err != nil {
		t.Fatal(err)
	}
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"workflows/quick"))
	b.until(t, seen(".actions button.danger")+`?.textContent === "Delete…" && document.querySelectorAll(".graph.still .node").length === 1`)
	b.run(t, "delete", click(".actions button", "Delete…"))
	b.until(t, `document.querySelector("dialog code").textContent === "troupe workflow delete quick"`)
	b.run(t, "do it", click("dialog button", "Delete"))
	b.until(t, `document.querySelector("dialog .problem")?.textContent.includes("the schedule nightly needs it")`)
	b.shoot(t, "delete-refused")
	if err := n.Runs().Engine().DeleteSchedule(t.Context(), "nightly", -1); err != nil {
		t.Fatal(err)
	}
	b.run(t, "all of it", press("dialog [name=prune]"))
	b.until(t, `document.querySelector("dialog code").textContent === "troupe workflow delete quick --prune"`)
	dialog(t, b, "Delete", nil)
	b.until(t, `location.pathname === "/workflows" && [...document.querySelectorAll(".empty code")].some(e => e.checkVisibility() && e.textContent.startsWith("troupe workflow deploy "))`)
	for _, m := range b.said() {
		if !strings.Contains(m, "status of 409") { // the refusal
			t.Errorf("the browser's console is not clean: %s", m)
		}
	}
}
