package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/troupe-dev/troupe/console"
	"github.com/troupe-dev/troupe/node"
)

// startShop runs a node with the demonstration's shop, and n orders in it that
// cannot be handled.
func startShop(t *testing.T, n int64) *node.Node {
	t.Helper()
	config := node.DefaultConfig()
	config.HTTP.Port, config.DataDir = 0, filepath.Join(t.TempDir(), "data")
	config.Demo = node.DemoConfig{}
	shop, err := node.New(config, node.Options{Demo: true, Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := shop.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shop.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for i := range n {
		order := node.DemoOrder{Number: i + 1, Customer: "ada", Item: "taa", Count: 1}
		if err := shop.DemoShop().Order(t.Context(), order); err != nil {
			t.Fatal(err)
		}
	}
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(hang); ; <-poll.C {
		page, err := shop.Mail().Letters(t.Context(), console.LetterQuery{})
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", page, err)
		}
		if page.Total == n {
			return shop
		}
	}
}

// Req F9, S4, S5: what is wrong with a request about letters is a problem that
// says so, and changes nothing.
func TestMailBadInput(t *testing.T) {
	t.Parallel()
	n := startShop(t, 1)
	page, err := n.Mail().Letters(t.Context(), console.LetterQuery{})
	if err != nil {
		t.Fatal(err)
	}
	letter := fmt.Sprintf("/api/letters/%d", page.Letters[0].ID)
	for _, tt := range []struct {
		name, method, path, body, header string
		status                           int
		want                             string
	}{
		{"tag", "GET", letter, "", "", 200, `"version":1`},
		{"unknown key", "GET", "/api/letters?quue=x", "", "", 400, "the keys are queue"},
		{"bad time", "GET", "/api/letters?since=yesterday", "", "", 400, "expected a time such as"},
		{"bad limit", "GET", "/api/letters?limit=9999", "", "", 400, "from 0 to 1000"},
		{"bad cursor", "GET", "/api/letters?after=x", "", "", 400, "the number of a letter"},
		{"bad id", "GET", "/api/letters/x", "", "", 400, "the number of a letter"},
		{"no such letter", "GET", "/api/letters/999", "", "", 404, "no such dead letter"},
		{"edit without a version", "PUT", letter, `{"payload":{}}`, "", 428, "which version"},
		{"edit of another version", "PUT", letter, `{"payload":{}}`, `If-Match: "7"`, 412, "somebody else"},
		{"bad tag", "PUT", letter, `{"payload":{}}`, `If-Match: 1`, 400, "expected the ETag"},
		{"unknown field", "PUT", letter, `{"payload":{"itm":"tea"}}`, `If-Match: "1"`, 400, "itm"},
		{"unknown member", "PUT", letter, `{"paylod":{}}`, `If-Match: "1"`, 400, "paylod"},
		{"delete of another version", "DELETE", letter, "", `If-Match: "7"`, 412, "somebody else"},
		{"redrive of nothing", "POST", "/api/redrives", `{}`, "", 400, "no letters are chosen"},
		{"redrive of too much", "POST", "/api/redrives", `{"all":true,"ids":[1]}`, "", 400, "expected one of them"},
		{"redrive with a bad rate", "POST", "/api/redrives", `{"all":true,"rate":-1}`, "", 400, "Rate"},
		{"no such redrive", "GET", "/api/redrives/none", "", "", 404, "there is no redrive none"},
		{"rehearsal of nothing", "POST", "/api/rehearsals", `{"ids":[]}`, "", 400, "expected 1 to 100"},
		{"another site", "POST", "/api/letters/delete", `{"all":true}`, "Sec-Fetch-Site: cross-site", 403, "another site"},
		{"another host", "GET", "/api/mail", "", "Host: evil.example", 421, "does not answer to the host name"},
		{"no such method", "DELETE", "/api/letters", "", "", 405, "use GET"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, strings.TrimSuffix(n.URL(), "/")+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		if tt.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		if name, value, ok := strings.Cut(tt.header, ": "); ok {
			req.Header.Set(name, value)
			if name == "Host" {
				req.Host = value
			}
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s: %d, want %d with %q: %s", tt.name, resp.StatusCode, tt.status, tt.want, body)
		}
		if kind := resp.Header.Get("Content-Type"); tt.status >= 400 && kind != "application/problem+json" {
			t.Errorf("%s: the answer is %s", tt.name, kind)
		}
		if tt.status == 200 && resp.Header.Get("ETag") != `"1"` {
			t.Errorf("%s: ETag %q", tt.name, resp.Header.Get("ETag"))
		}
	}
	if page, err := n.Mail().Letters(t.Context(), console.LetterQuery{}); err != nil || page.Total != 1 || page.Letters[0].Version != 1 {
		t.Errorf("afterwards: %+v, %v", page, err)
	}
}

// TestMailPage mends a dead letter in a real browser, with the keyboard where that
// is how it is done, and brings the others back by a filter.
func TestMailPage(t *testing.T) {
	b := newBrowser(t)
	n := startShop(t, 30)
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"letters"))
	b.until(t, `document.querySelectorAll("#letter-rows .letter").length === 25`)
	b.until(t, `document.querySelector("#letters-range").textContent === "1–25 of 30"`)
	b.until(t, `document.querySelector('#queue-rows tr[data-key="shop/orders"] .buried').textContent === "30"`)
	b.run(t, "the next page", press(`#letters-next`))
	b.until(t, `document.querySelectorAll("#letter-rows .letter").length === 5`)
	b.run(t, "and back", press(`#letters-previous`))
	b.until(t, `document.querySelectorAll("#letter-rows .letter").length === 25`)

	b.run(t, "open a letter", press(`#letter-rows .letter:nth-child(1) button`))
	b.until(t, `document.querySelector("#letter-payload")?.value.includes('"taa"')`)
	b.until(t, `document.querySelector("#letter-rows button").getAttribute("aria-expanded") === "true"`)
	b.run(t, "rehearse", click("#letter-view button", "Rehearse"))
	b.until(t, `document.querySelector(".rehearsal").textContent.startsWith("Would fail again:")`)
	pageMailLooks(t, b)

	b.run(t, "edit", on(first("#letter-payload"), `e.value = e.value.replace("taa", "tea"); e.dispatchEvent(new Event("input"))`))
	b.run(t, "redrive what is not saved", click("#letter-view button", "Redrive"))
	b.until(t, `document.querySelector("#toast").textContent.includes("save the payload first")`)
	b.run(t, "save", click("#letter-view button", "Save"))
	b.until(t, `document.querySelector("#toast").textContent.includes("is saved, version 2")`)
	b.run(t, "rehearse again", click("#letter-view button", "Rehearse"))
	b.until(t, `document.querySelector(".rehearsal").textContent.includes("shop.Charge")`)
	b.shoot(t, "letter")
	b.run(t, "redrive", click("#letter-view button", "Redrive"))
	b.until(t, `document.querySelector("#letters-count").textContent === "29"`)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for ; ; <-poll.C { // the letter is gone when the order is brought back, which is then handled
		s, err := n.DemoShop().Statement(t.Context(), "ada")
		if err != nil || s.Orders > 1 || s.Orders == 1 && s.Cents != 350 {
			t.Fatalf("the account: %+v, %v", s, err)
		}
		if s.Orders == 1 {
			break
		}
	}
	pageMailBulk(t, b)
	for _, m := range b.said() {
		t.Errorf("the browser's console is not clean: %s", m)
	}
}

// pageMailLooks looks at the open letter in all widths and both themes.
func pageMailLooks(t *testing.T, b *browser) {
	t.Helper()
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 768, 1440, 1920} {
			name := fmt.Sprintf("mail-%s-%d", theme, width)
			b.run(t, name, view(width, 900, theme))
			b.until(t, fmt.Sprintf(`innerWidth === %d`, width))
			b.shoot(t, name)
			if over := eval[int](t, b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				wide := eval[string](t, b, `[...document.querySelectorAll("main *, header *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".graph, .table-scroll")).map(e => e.tagName + "." + e.className).slice(0, 5).join(" ")`)
				t.Errorf("%s: the page is %d px wider than the window: %s", name, over, wide)
			}
			for _, low := range b.contrast(t) {
				t.Errorf("%s: contrast too low: %s", name, low)
			}
		}
	}
	b.run(t, "the first view again", view(1440, 900, "light"))
	if bare := eval[int](t, b, `[...document.querySelectorAll("#letters input, #letters textarea, #letters button")].filter(e => !(e.labels?.length || e.textContent.trim() || e.getAttribute("aria-label"))).length`); bare > 0 {
		t.Errorf("%d fields have no name for a screen reader", bare)
	}
}

// pageMailBulk filters, closes a letter with the keyboard, and redrives and deletes
// what the filter lets through, each after a dry run.
func pageMailBulk(t *testing.T, b *browser) {
	t.Helper()
	// The letter that was redriven is gone from the list, and its view with it.
	b.until(t, `document.querySelector("#letter-view").hidden && !document.querySelector('#letter-rows [aria-expanded="true"]') && document.querySelector("#letters-range").textContent === "1–25 of 29"`)
	b.run(t, "open a letter", press(`#letter-rows .letter:nth-child(2) button`))
	b.until(t, `document.querySelector("#letter-rows .letter:nth-child(2) #letter-payload") !== null && !document.querySelector("#letter-view").hidden`)
	b.run(t, "escape", on(first("#letter-payload"), `e.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }))`))
	b.until(t, `document.querySelector("#letter-view").hidden && document.activeElement.className === "letter-open"`)

	filter := func(text string) chromedp.Action[chromedp.Void] {
		return send("#letter-filter", "[name=request]", text)
	}
	b.run(t, "a filter without a letter", filter("none"))
	b.until(t, `document.querySelector("#letters-empty").textContent === "No dead letter is like that." && document.querySelector("#bulk").hidden`)
	b.run(t, "a filter", filter("order-30"))
	b.until(t, `document.querySelectorAll("#letter-rows .letter").length === 1 && document.querySelector("#redrive-check").textContent === "Redrive it…"`)
	b.run(t, "a dry run", press(`#redrive-check`))
	b.until(t, `document.querySelector("#bulk-text").textContent === "1 letter would be brought back to its queue." && document.activeElement.id === "bulk-do"`)
	b.until(t, `document.querySelector("#bulk-command").textContent === "troupe dlq redrive --request order-30 --yes"`)
	b.shoot(t, "bulk")
	b.run(t, "do it", press(`#bulk-do`))
	b.until(t, `[...document.querySelectorAll(".redrive-text")].some(e => e.textContent.includes("1 failed again"))`)
	b.run(t, "the dry run of a delete", press(`#delete-check`))
	b.until(t, `document.querySelector("#bulk-do").textContent === "Delete 1"`)
	b.run(t, "delete", press(`#bulk-do`))
	b.until(t, `document.querySelector("#letters-count").textContent === "28"`)
	b.run(t, "no filter", on(first("#letter-filter"), `e.reset()`))
	b.until(t, `document.querySelectorAll("#letter-rows .letter").length === 25`)
}
