package console_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/troupe-dev/troupe/workflow"
)

const greeting = "name: greet\ninputs: {who: {type: string, default: nobody}}\noutput: inputs.who\nnodes:\n  - {id: one, type: value, with: {output: inputs.who}}\n"

// Req W3, W12: triggers show what they have started, and are tried, paused and
// removed from their page; a request of another system is seen without a reload.
func TestTriggersPage(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, greeting)
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"triggers"))
	b.until(t, `[...document.querySelectorAll(".empty code")].some(e => e.checkVisibility() && e.textContent.startsWith("troupe trigger put "))`)
	engine := n.Runs().Engine()
	orders := workflow.Trigger{
		Name: "orders", Workflow: "greet", Kind: "webhook", With: json.RawMessage(`{"unsigned": true, "id_header": "X-Id"}`),
		Inputs: map[string]string{"who": "${{ trigger.body.who }}"}, Comment: "What the shop sends.",
	}
	if _, err := engine.PutTrigger(t.Context(), orders, 0); err != nil {
		t.Fatal(err)
	}
	b.until(t, `document.querySelector("table.triggers tbody th a")?.textContent === "orders" && document.querySelector("table.triggers .c-state").textContent === "waits for deliveries"`)
	post := func(id, body string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.URL()+"api/hooks/orders", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Id", id)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil || answer.StatusCode != want {
			t.Errorf("the webhook is answered with %s, %v", answer.Status, err)
		}
	}
	post("1", `{"who": "Ada"}`, http.StatusAccepted)
	post("1", `{"who": "Ada"}`, http.StatusAccepted)
	post("2", `{}`, http.StatusBadRequest)
	b.until(t, `document.querySelector("table.triggers .c-fired")?.textContent === "1" && document.querySelector("table.triggers .c-not").textContent === "2" && document.querySelector("table.triggers .c-last a") !== null`)
	pagesLook(t, b, "triggers", "table.triggers tbody tr")

	b.run(t, "open it", click("table.triggers a", "orders"))
	outcomes := `[...document.querySelectorAll('table[aria-label="Deliveries"] tbody tr')].map(e => e.children[1].textContent).join()`
	b.until(t, outcomes+` === "failed,repeated,started"`)
	b.until(t, fmt.Sprintf(`[...document.querySelectorAll("dd")].some(e => e.checkVisibility() && e.textContent === %q)`, n.URL()+"api/hooks/orders"))
	pagesLook(t, b, "trigger", `table[aria-label="Deliveries"] tbody tr`)
	b.run(t, "pause", click(".actions button", "Pause…"))
	b.until(t, `document.querySelector("dialog code").textContent === "troupe trigger pause orders"`)
	dialog(t, b, "Pause", map[string]string{"comment": "holidays"})
	b.until(t, seen(`.state-badge[data-state="paused"]`)+` !== undefined`)
	post("3", `{"who": "Eve"}`, http.StatusConflict)

	b.run(t, "deliver", click(".actions button", "Deliver…"))
	b.until(t, `document.querySelector("dialog code").textContent === "troupe trigger deliver orders --body '{}'"`)
	b.run(t, "refused", click("dialog button", "Deliver"))
	b.until(t, `document.querySelector("dialog .problem")?.textContent.includes("inputs.who")`)
	b.shoot(t, "trigger-refused")
	dialog(t, b, "Deliver", map[string]string{"body": `{"who": "Grace"}`, "more": "X-Kind=paid"})
	b.until(t, `location.pathname.startsWith("/runs/")`)
	b.until(t, nodeIs("one", "completed"))
	b.run(t, "back", chromedp.Evaluate[chromedp.Void](`history.back()`))
	b.until(t, outcomes+` === "started,failed,failed,repeated,started"`)
	b.run(t, "resume", click(".actions button", "Resume…"))
	dialog(t, b, "Resume", nil)
	b.until(t, seen(`.state-badge[data-state="paused"]`)+` === undefined`)
	b.run(t, "delete", click(".actions button", "Delete…"))
	dialog(t, b, "Delete", nil)
	b.until(t, `location.pathname === "/triggers"`)
	if list, err := engine.Triggers(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("the triggers are %+v, %v", list, err)
	}
	clean(t, b)
}

// Req W3, W12: a schedule is made in a form, which says when it would be due while
// it is filled in, and what is wrong at which field.
func TestScheduleForm(t *testing.T) {
	b := newBrowser(t)
	n := startNode(t, strings.Replace(greeting, ", default: nobody", "", 1))
	b.run(t, "open", view(1440, 900, "light"), chromedp.Navigate(n.URL()+"schedules"))
	b.run(t, "new", click("button", "New schedule…"))
	b.until(t, `location.pathname === "/new-schedule" && document.querySelectorAll(".schedule-next li").length === 5`)
	if shown := eval[int](t, b, `[...document.querySelectorAll(".schedule-form .problem")].filter(e => e.checkVisibility()).length`); shown != 0 {
		t.Errorf("%d mistakes are shown before anything was typed", shown)
	}
	fill := func(field, value string) {
		t.Helper()
		b.run(t, field, fill("#schedule-"+field, value))
	}
	wrong := func(field, text string) {
		t.Helper()
		b.until(t, fmt.Sprintf(`document.querySelector("#schedule-%s-error")?.checkVisibility() && document.querySelector("#schedule-%s-error").textContent.includes(%q) && document.querySelector("#schedule-%s").getAttribute("aria-invalid") === "true"`, field, field, text, field))
	}
	fill("time_zone", "Asia/Tokyo")
	fill("cron", "30 25 * * *")
	wrong("cron", "25 is out of range")
	b.until(t, `document.querySelector(".schedule-next li").textContent === "None, as it stands."`)
	fill("cron", "30 2 * * *")
	b.until(t, `document.querySelector(".schedule-next").textContent.includes("02:30:00 GMT+9")`)
	b.run(t, "make it", click("button", "Make the schedule"))
	wrong("name", "missing")
	wrong("workflow", "missing")
	b.until(t, `document.activeElement.id === "schedule-name"`)
	fill("name", "nightly")
	fill("workflow", "greet")
	b.until(t, `document.querySelector("#schedule-inputs-who") !== null`)
	wrong("inputs-who", "has no value")
	pagesLook(t, b, "schedule-form", ".schedule-next li")
	fill("inputs-who", "${{ schedule.nam }}")
	wrong("inputs-who", "nam")
	fill("inputs-who", "${{ schedule.name }}")
	b.until(t, `document.querySelector(".start-foot .command code") && [...document.querySelectorAll(".start-foot .command code")].some(e => e.checkVisibility() && e.textContent === "troupe schedule put nightly --workflow greet --cron '30 2 * * *' --time-zone Asia/Tokyo --input 'who=${{ schedule.name }}'")`)
	fill("kind", "every")
	b.until(t, `document.querySelector("#schedule-every") !== null && document.querySelector("#schedule-cron") === null`)
	fill("every", "1s")
	b.until(t, `document.querySelectorAll(".schedule-next li time").length === 5`)
	fill("every", "hourly")
	wrong("every", "hourly")
	fill("every", "2h")
	b.until(t, `document.querySelectorAll(".schedule-next li time").length === 5 && ![...document.querySelectorAll(".schedule-form .problem")].some(e => e.checkVisibility())`)
	b.run(t, "make it", click("button", "Make the schedule"))
	b.until(t, `location.pathname === "/schedules/nightly" && document.querySelectorAll(".instants li").length > 4`)
	s, err := n.Runs().Engine().Schedule(t.Context(), "nightly")
	if err != nil || s.Every.String() != "2h0m0s" || s.Cron != "" || s.Inputs["who"] != "${{ schedule.name }}" {
		t.Errorf("made %+v, %v", s, err)
	}
	clean(t, b)
}
