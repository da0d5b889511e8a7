package console_test

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/troupe-dev/troupe/workflow"
)

// Req W3, W12: schedules show when they are due, in the reader's zone and their own,
// and are paused, resumed, run and backfilled from their page.
func TestSchedulesPage(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, quick)
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"schedules"))
	b.until(t, `[...document.querySelectorAll(".empty code")].some(e => e.checkVisibility() && e.textContent.startsWith("troupe schedule put "))`)
	nightly := workflow.Schedule{Name: "nightly", Workflow: "quick", Cron: "30 2 * * *", TimeZone: "Asia/Tokyo", Comment: "While all are asleep.", CatchUp: workflow.Duration(time.Hour)}
	if _, err := n.Runs().Engine().PutSchedule(t.Context(), nightly, 0); err != nil {
		t.Fatal(err)
	}
	b.until(t, `document.querySelector("table.schedules tbody th a")?.textContent === "nightly"`)
	b.until(t, `document.querySelector("table.schedules .c-next time").textContent.startsWith("in ")`)
	pagesLook(t, b, "schedules", "table.schedules tbody tr")

	b.run(t, "open it", click("table.schedules a", "nightly"))
	b.until(t, `document.querySelectorAll(".instants li").length === 5`)
	b.until(t, `document.querySelector(".instants .faded[title='Asia/Tokyo']").textContent.includes("02:30:00 GMT+9")`)
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
