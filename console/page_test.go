package console_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/troupe-dev/troupe/console"
)

// TestPage looks at the page in a real browser: figures change live, the graph
// has the rows, buttons work, nothing is blocked or fails.
func TestPage(t *testing.T) {
	b := newBrowser(t)
	f := newFixture(t, nil)
	server := httptest.NewServer(f.console)
	t.Cleanup(server.Close)
	server.Config.RegisterOnShutdown(f.console.Close)
	t.Cleanup(f.console.Close)

	f.runs.start(t)
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(server.URL))
	b.until(t, `document.querySelector("#connection").dataset.state === "live"`)
	b.until(t, `document.querySelectorAll("#graph .node").length === 7`)

	t.Run("tree", func(t *testing.T) { pageTree(t, b, f) })
	t.Run("run", func(t *testing.T) { pageRun(t, b, f) })
	t.Run("a million rows", func(t *testing.T) { pageMillion(t, b, f) })
	t.Run("actions", func(t *testing.T) { pageActions(t, b, f) })
	t.Run("looks", func(t *testing.T) { pageLooks(t, b) })
	t.Run("reconnects", func(t *testing.T) { pageReconnects(t, b, f, server) })

	for _, m := range b.said() {
		if !strings.Contains(m, "ERR_") { // the connections that the last part cut
			t.Errorf("the browser's console is not clean: %s", m)
		}
	}
}

func row(path string) string {
	return fmt.Sprintf(`document.querySelector('tr.actor[data-key=%q]')`, path)
}

func pageTree(t *testing.T, b *browser, f *fixture) {
	f.tell(t, 50)
	b.until(t, row("/demo/child")+`.querySelector(".c-processed").textContent === "50"`)
	b.until(t, row("/demo/child")+`.querySelector(".c-rate").textContent !== "0"`)

	hold := make(chan struct{})
	for range 1500 {
		if err := f.child.Tell(t.Context(), command{hold: hold}); err != nil {
			t.Fatal(err)
		}
	}
	b.until(t, `parseInt(`+row("/demo/child")+`.querySelector(".gauge .value").textContent.replace(",", "")) > 1000`)
	b.shoot(t, "busy")
	close(hold)
	b.until(t, row("/demo/child")+`.querySelector(".gauge .value").textContent === "0"`)

	// The pool of 120 is closed at first; opened, it shows 50 and offers more.
	b.run(t, "open pool", press(`tr.actor[data-key="/pool"] .twist`))
	b.until(t, `document.querySelectorAll('tr.actor[data-key^="/pool/"]').length === 50`)
	b.until(t, `document.querySelector("tr.more").textContent.includes("70 more actors")`)
	b.run(t, "more", press(`tr.more button`))
	b.until(t, `document.querySelectorAll('tr.actor[data-key^="/pool/"]').length === 120`)
	b.run(t, "close pool", press(`tr.actor[data-key="/pool"] .twist`))
	b.until(t, `document.querySelectorAll('tr.actor[data-key^="/pool/"]').length === 0`)

	// By keyboard: from the first row to its child, its details, and back.
	b.run(t, "keyboard", focus(`tr.actor[tabindex="0"]`), chromedp.KeyEvent(kb.ArrowDown))
	b.run(t, "details", press(`tr.actor[data-key="/demo/child"] .text`))
	b.until(t, `document.querySelector("tr.actor-details .command code").textContent.includes("path=/demo/child")`)
	b.shoot(t, "details")
	b.run(t, "escape", focus(`tr.actor[data-key="/demo/child"]`), chromedp.KeyEvent(kb.Escape))
	b.until(t, `!document.querySelector("tr.actor-details")`)
}

func pageRun(t *testing.T, b *browser, f *fixture) {
	b.until(t, `document.querySelector("#run-state").textContent === "running"`)
	b.until(t, `document.querySelector('[data-node="plausible"] .rows').textContent === "732 → 730"`)
	b.shoot(t, "running")
	f.runs.finish(t)
	b.until(t, `document.querySelector("#run-state").textContent === "completed"`)
	b.until(t, `document.querySelector('[data-node="plausible"] .rows').textContent === "1,464 → 1,460"`)
	b.until(t, `[...document.querySelectorAll(".edge-label tspan")].map(e => e.textContent).join() === "1,461,3,1,460,1,460,48,48"`)
	b.until(t, `document.querySelectorAll("#result-table tbody tr").length === 48`)
	b.until(t, `document.querySelectorAll("#chart [data-panel]").length === 2`)

	pick := func(sink string) {
		b.run(t, "pick "+sink, fill(`#result-sink`, sink))
	}
	pick("file")
	b.until(t, `document.querySelector("#result-title").textContent === "days.csv" && document.querySelectorAll("#result-table tbody tr").length === 12`)
	b.until(t, `document.querySelector("#result-json").href.endsWith("/result?sink=file")`)
	pick("database")
	b.until(t, `document.querySelectorAll("#result-table tbody tr").length === 48`)

	b.run(t, "show rows set aside", press(`#run-facts button`))
	b.until(t, `document.querySelector('[data-node="late"]').getAttribute("aria-expanded") === "true"`)
	b.until(t, `document.querySelectorAll("table.rejects tbody tr").length === 4`)
	b.until(t, `document.querySelector("table.rejects").textContent.includes('"strong <b>" is not a number')`)
	b.shoot(t, "rejects")
	b.run(t, "close node", press(`.node-details button[aria-label="Close"]`))
	b.until(t, `document.querySelector("#node-details").hidden`)

	b.run(t, "read chart", focus(`#chart svg`), chromedp.KeyEvent(kb.ArrowLeft))
	before := eval[string](t, b, `document.querySelector(".readout").textContent`)
	b.run(t, "chip", press(`#chart-controls .chip:nth-of-type(3)`))
	b.until(t, `document.querySelectorAll("#chart [data-panel]").length === 3`)
	b.run(t, "chip", press(`#chart-controls .chip:nth-of-type(3)`))
	t.Logf("readout: %s", before)

	b.run(t, "run again", press(`#run-again`))
	b.until(t, `document.querySelector("#run-picker").options.length === 2`)
	b.until(t, fmt.Sprintf(`document.querySelector("#run-picker").value === %q && document.querySelector("#run-state").textContent === "running"`, f.runs.id(2)))
	f.runs.fail(t, "sink.csv file: /data/monthly.csv: no space left on device")
	b.until(t, `document.querySelector("#run-facts").textContent.includes("no space left on device")`)
	b.shoot(t, "failed-run")
	b.run(t, "pick the first run", fill(`#run-picker`, f.runs.id(1)))
	b.until(t, `document.querySelector("#run-state").textContent === "completed"`)
	b.until(t, `document.querySelectorAll("#result-table tbody tr").length === 48`)
}

// pageMillion looks at the figures of a large run with several outputs of a
// node: all can be read in full, on wide and narrow pages.
func pageMillion(t *testing.T, b *browser, f *fixture) {
	f.runs.deploy(t, millionText)
	b.run(t, "run again", press(`#run-again`))
	b.until(t, `document.querySelector("#run-picker").options.length === 3`)
	b.until(t, fmt.Sprintf(`document.querySelector("#run-picker").value === %q && document.querySelector("#run-state").textContent === "running"`, f.runs.id(3)))
	for _, width := range []int64{1440, 390} {
		b.run(t, "size", view(width, 900, "light"))
		b.until(t, `[...document.querySelectorAll(".edge-label tspan")].map(e => e.textContent).join("; ") === "1M; 9,999; 138k; 1.3M; else 15.3k; a_very_lo… 155k"`)
		b.until(t, `[...document.querySelectorAll(".edge-label title")].some(e => e.textContent === "plausible out to derive: 137,700 rows")`)
		b.shoot(t, fmt.Sprintf("million-%d", width))
		if hidden := eval[string](t, b, overlapping); hidden != "" {
			t.Errorf("at %d px these labels lie over others or boxes: %s", width, hidden)
		}
	}
	b.run(t, "back", view(1440, 900, "light"), fill(`#run-picker`, f.runs.id(1)))
	b.until(t, `document.querySelectorAll("#result-table tbody tr").length === 48`)
}

// overlapping lists the edge labels that touch a box or one another, and the
// lines of figures that leave their box.
const overlapping = `(() => {
	const rect = (e) => e.getBoundingClientRect();
	const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
	const labels = [...document.querySelectorAll(".edge-label")];
	const boxes = [...document.querySelectorAll("#graph .box")];
	const bad = labels.filter((l) => boxes.some((b) => meet(rect(l), rect(b))) || labels.some((m) => m !== l && meet(rect(l), rect(m))));
	const wide = [...document.querySelectorAll("#graph .node .rows")].filter((r) => rect(r).right > rect(r.closest(".node").querySelector(".box")).right - 4);
	return [...bad, ...wide].map((e) => e.textContent).join("; ");
})()`

func pageActions(t *testing.T, b *browser, f *fixture) {
	b.note(t, "flashed", `document.querySelector('tr.actor.restarted[data-key="/demo/child"]')`)
	b.run(t, "crash", press(`#actions button`))
	b.until(t, row("/demo/child")+`.querySelector(".c-restarts").textContent === "1"`)
	b.until(t, noted("flashed"))
	b.until(t, row("/demo/child")+`.querySelector(".c-error").textContent.includes("crashed on purpose")`)
	// What one crash did is one row, even as its parts arrive one by one.
	what := `[...document.querySelectorAll("#event-list .event")].map(e => e.querySelector(".kind").textContent).join("; ")`
	b.until(t, what+` === "failed, restarted, dead letter"`)
	b.until(t, `document.querySelector("#event-list .why").textContent === "crashed on purpose → restart · restart 1 · lost console_test.command"`)
	b.run(t, "hide restarts", press(`#event-filters .chip[aria-label="Restarts"]`))
	b.until(t, what+` === "failed, dead letter"`)
	b.run(t, "show restarts", press(`#event-filters .chip[aria-label="Restarts"]`))
	b.until(t, what+` === "failed, restarted, dead letter"`)
	b.run(t, "crash again", press(`#actions button`))
	b.until(t, what+` === "failed, restarted, dead letter; failed, restarted, dead letter"`)
	f.events.Add(console.Event{Kind: console.EventAlert, Actor: "/demo/child", Text: "2 restarts a minute, limit 1"})
	b.until(t, what+` === "alert; failed, restarted, dead letter; failed, restarted, dead letter"`)
	b.run(t, "log level", fill(`#log-level`, "DEBUG"))
	b.until(t, `document.querySelector("#toast").textContent.includes("DEBUG")`)
	if got := f.level.Level().String(); got != "DEBUG" {
		t.Errorf("log level is %s", got)
	}
	b.until(t, `document.querySelector("#toast").hidden`)
}

// pageLooks checks both themes on a phone, a tablet and two desktops: nothing
// overflows the page, and all text has the contrast of WCAG AA.
func pageLooks(t *testing.T, b *browser) {
	b.run(t, "hide a title", chromedp.Evaluate[chromedp.Void](`document.querySelector("#events-title").style.color = "var(--surface)"`))
	if len(b.contrast(t)) != 1 {
		t.Fatal("the check of contrast does not see a title in the colour of its ground")
	}
	b.run(t, "show it", chromedp.Evaluate[chromedp.Void](`document.querySelector("#events-title").style.color = ""`))
	for _, theme := range []string{"light", "dark"} {
		for _, size := range [][2]int64{{390, 844}, {768, 1024}, {1440, 900}, {1920, 1080}} {
			name := fmt.Sprintf("%s-%d", theme, size[0])
			b.run(t, name, view(size[0], size[1], theme))
			b.until(t, fmt.Sprintf(`innerWidth === %d && document.querySelector("#chart svg").getBoundingClientRect().right <= innerWidth`, size[0]))
			b.shoot(t, name)
			if over := eval[int](t, b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				wide := eval[string](t, b, `[...document.querySelectorAll("main *, header *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".graph, .table-scroll")).map(e => e.tagName + "." + e.className).slice(0, 5).join(" ")`)
				t.Errorf("%s: the page is %d px wider than the window: %s", name, over, wide)
			}
			cut := eval[bool](t, b, `(e => e.scrollWidth > e.clientWidth + 1)(document.querySelector("#result .tall"))`)
			b.until(t, fmt.Sprintf(`getComputedStyle(document.querySelector("#result .scroll-edge"), "::after").opacity === "%d"`, map[bool]int{true: 1}[cut]))
			for _, id := range []string{"health", "connection", "log-level", "theme"} {
				if !eval[bool](t, b, fmt.Sprintf(`(r => r.width > 0 && r.left >= 0 && r.right <= innerWidth && r.bottom < 110)(document.querySelector("#%s").getBoundingClientRect())`, id)) {
					t.Errorf("%s: %s cannot be seen in the header", name, id)
				}
			}
			for _, low := range b.contrast(t) {
				t.Errorf("%s: contrast too low: %s", name, low)
			}
		}
	}
}

// pageReconnects takes the node away under the page and gives it back.
func pageReconnects(t *testing.T, b *browser, f *fixture, server *httptest.Server) {
	b.run(t, "theme", press(`#theme`))
	b.until(t, `document.documentElement.dataset.theme === "light"`)
	b.note(t, "cut", `document.querySelector("#connection").dataset.state === "reconnecting"`)
	server.CloseClientConnections()
	b.until(t, noted("cut"))
	b.until(t, `document.querySelector("#connection").dataset.state === "live"`)
	before := eval[string](t, b, row("/demo/child")+`.querySelector(".c-processed").textContent`)
	f.tell(t, 3)
	b.until(t, fmt.Sprintf(`%s.querySelector(".c-processed").textContent !== %q`, row("/demo/child"), before))
}
