package console_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// Req W10, W12: the versions of a workflow can be compared, and an older one be made
// the active one again.
func TestVersionsPage(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, orders, faulty)
	deploy(t, n, strings.Replace(orders, "title: Ship the orders of the day?", "title: Ship them?", 1))
	launch(t, n, "faulty", "")

	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"workflows"))
	b.until(t, `[...document.querySelectorAll("table.workflows .tally")].map(e => e.textContent).join() === "1 failed"`)
	pagesLook(t, b, "workflows", "table.workflows .tally")
	b.run(t, "open the workflow", chromedp.Navigate(n.URL()+"workflows/orders?tab=versions"))
	b.until(t, `[...document.querySelectorAll('table[aria-label="Versions"] tbody tr')].map(e => e.querySelector("th").textContent).join() === "v2active,v1"`)
	b.until(t, `[...document.querySelectorAll(".diff-text [data-kind='-'], .diff-text [data-kind='+']")].map(e => e.textContent.trim()).join("\n") ===
		"-   - {id: boss, type: approval, after: each, with: {title: Ship the orders of the day?}}\n+   - {id: boss, type: approval, after: each, with: {title: Ship them?}}"`)
	pagesLook(t, b, "versions", ".diff-text")
	b.run(t, "show version 1", click("button.link", "v1"))
	b.until(t, `location.search === "?tab=versions&version=1" && `+seen(`.card-head .badge`)+`.textContent === "v1"`)
	b.run(t, "make it active", click("button", "Make active…"))
	b.until(t, `document.querySelector("dialog code").textContent === "troupe workflow activate orders 1"`)
	dialog(t, b, "Make active", nil)
	b.until(t, `[...document.querySelectorAll('table[aria-label="Versions"] tbody tr')].map(e => e.querySelector("th").textContent).join() === "v2,v1active"`)
	if v, err := n.Runs().Engine().Version(t.Context(), "orders", 0); err != nil || v.Version != 1 {
		t.Errorf("version %d is active: %v", v.Version, err)
	}
	b.run(t, "definition", click(".tab", "Definition"))
	b.until(t, `document.querySelector("pre.definition").textContent.startsWith("name: orders")`)

	// Whatever differs: without the added lines the difference is the one text, without
	// the removed ones the other, and no line stands on both sides of a change.
	b.run(t, "differences", chromedp.Evaluate[chromedp.Void](`(async () => {
		const { textDiff } = await import(document.querySelector("script[type=module]").src.replace("main.js", "text-diff.js"));
		let seed = 7;
		const random = (n) => (seed = (seed * 16807) % 2147483647) % n;
		const text = () => Array.from({ length: random(12) }, () => "abcd"[random(4)]).join("\n");
		for (let i = 0; i < 3000; i++) {
			const [from, to] = [text(), text()];
			const diff = textDiff(from, to);
			const side = (not) => diff.filter(([kind]) => kind !== not).map(([, line]) => line).join("\n");
			if (side("+") !== from || side("-") !== to || (from === to && diff.some(([kind]) => kind !== " "))) return JSON.stringify([from, to, diff]);
		}
		return "none";
	})().then((text) => { window.differences = text; }, (err) => { window.differences = String(err); })`))
	b.until(t, `window.differences !== undefined`)
	if wrong := eval[string](t, b, `window.differences`); wrong != "none" {
		t.Errorf("a wrong difference: %s", wrong)
	}
	clean(t, b)
}
