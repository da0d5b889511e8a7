package console_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/troupe-dev/troupe/workflow"
)

// farHour is an hour of the day in a zone at which no test runs that has just begun.
func farHour(t *testing.T, zone string) int {
	t.Helper()
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return (time.Now().In(location).Hour() + 12) % 24
}

// Req W3, W12: schedules show when they are due, in the reader's zone and their own,
// and are paused, resumed, run and backfilled from their page.
func TestSchedulesPage(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, quick)
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"schedules"))
	b.until(t, `[...document.querySelectorAll(".empty code")].some(e => e.checkVisibility() && e.textContent.startsWith("troupe schedule put "))`)
	hour := farHour(t, "Asia/Tokyo")
	nightly := workflow.Schedule{Name: "nightly", Workflow: "quick", Cron: fmt.Sprintf("30 %d * * *", hour), TimeZone: "Asia/Tokyo", Comment: "While all are asleep.", CatchUp: workflow.Duration(time.Hour)}
	if _, err := n.Runs().Engine().PutSchedule(t.Context(), nightly, 0); err != nil {
		t.Fatal(err)
	}
	b.until(t, `document.querySelector("table.schedules tbody th a")?.textContent === "nightly"`)
	b.until(t, `document.querySelector("table.schedules .c-next time").textContent.startsWith("in ")`)
	pagesLook(t, b, "schedules", "table.schedules tbody tr")

	b.run(t, "open it", click("table.schedules a", "nightly"))
	b.until(t, `document.querySelectorAll(".instants li").length === 5`)
	b.until(t, fmt.Sprintf(`document.querySelector(".instants .faded[title='Asia/Tokyo']").textContent.includes("%02d:30:00 GMT+9")`, hour))
	b.run(t, "pause", click(".actions button", "Pause…"))
	b.until(t, `document.querySelector("dialog code").textContent === "troupe schedule pause nightly"`)
	dialog(t, b, "Pause", map[string]string{"comment": "holidays"})
	b.until(t, seen(`.state-badge[data-state="paused"]`)+` !== undefined && document.querySelectorAll(".instants li").length === 1`)
	b.run(t, "resume", click(".actions button", "Resume…"))
	dialog(t, b, "Resume", nil)
	b.until(t, `document.querySelectorAll(".instants li").length === 5`)

	b.run(t, "backfill", click(".actions button", "Backfill…"))
	dialog(t, b, "Backfill", map[string]string{"from": "2026-01-01T00:00", "to": "2026-01-04T00:00", "max": "10"})
	b.until(t, `[...document.querySelectorAll('table[aria-label="Firings"] tbody tr')].filter(e => e.textContent.includes("backfill") && e.querySelector("a")).length === 3`)
	pagesLook(t, b, "schedule", `table[aria-label="Firings"] tbody tr`)
	b.run(t, "run now", click(".actions button", "Run now…"))
	dialog(t, b, "Run now", nil)
	b.until(t, `location.pathname.startsWith("/runs/")`)
	b.until(t, nodeIs("one", "completed"))
	if s, err := n.Runs().Engine().Schedule(t.Context(), "nightly"); err != nil || s.Counts.Fired != 4 || s.Paused {
		t.Errorf("afterwards: %+v, %v", s.Counts, err)
	}
	clean(t, b)
}

// Req W3, W12: what a workflow defines is shown by its name, and is changed with the
// workflow only; a long name makes no page wider than the window; an address without a
// page leads on to those there are.
func TestDefinedEntriesPage(t *testing.T) {
	b := newBrowser(t)
	const long = "a_name_as_long_as_some_that_companies_have_thought_of_for_their_workflows"
	n := startNode(t, strings.Replace(quick, "quick", long, 1)+fmt.Sprintf(`schedules: {daily: {cron: "30 %d * * *", time_zone: Asia/Tokyo, catch_up: 1h30m}}
triggers: {hook: {kind: webhook, with: {unsigned: true, id_header: X-Id}}}
`, farHour(t, "Asia/Tokyo")))
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"workflows"))
	b.until(t, fmt.Sprintf(`document.querySelector("table.workflows .c-next a")?.getAttribute("href") === "/schedules/%s:daily"`, long))
	pagesLook(t, b, "workflows-long", "table.workflows tbody tr")
	b.run(t, "open the schedule", press("table.workflows .c-next a"))
	b.until(t, fmt.Sprintf(`location.pathname === "/schedules/%s:daily" && document.querySelectorAll(".instants li").length === 5`, long))
	changes := `[...document.querySelectorAll(".actions button")].filter(e => e.checkVisibility()).map(e => e.textContent).join()`
	b.until(t, changes+` === "Run now…,Pause…,Backfill…" && `+seen(".pairs")+`.textContent.includes("Catch-up1 h 30 m")`)
	b.until(t, `document.querySelector('table[aria-label="Firings"]').checkVisibility() === false`)
	pagesLook(t, b, "schedule-defined", ".instants li")
	b.run(t, "open the workflow", click(".pairs a", long))
	b.until(t, `location.search === "?tab=definition" && document.querySelectorAll(".graph.still .node").length === 1`)
	pagesLook(t, b, "workflow-long", ".graph.still .node")
	b.run(t, "open the trigger", chromedp.Navigate(n.URL()+"triggers/"+long+":hook"))
	b.until(t, changes+` === "Deliver…,Pause…"`)
	b.until(t, fmt.Sprintf(`[...document.querySelectorAll("dd")].some(e => e.checkVisibility() && e.textContent === %q)`, n.URL()+"api/hooks/"+long+":hook"))
	pagesLook(t, b, "trigger-defined", ".pairs dd")
	clean(t, b)
	b.run(t, "no page", chromedp.Navigate(n.URL()+"nowhere"))
	b.run(t, "leads on", click("#lost a", "workflows"))
	b.until(t, `document.querySelectorAll("table.workflows tbody tr").length === 1`)
}
