package console_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// A page is changed by what the node says while a test looks at it. So what a test
// does to an element, it does in the turn of the page in which it finds it.

// until waits for a JavaScript expression to be true. One that reads something of an
// element that is not there yet is not.
func (b *browser) until(t *testing.T, expression string) {
	t.Helper()
	b.run(t, expression, poll(expression))
}

// note makes the page note that an expression has been true, for what may be over
// before a test can look: wait for it with until(noted(name)).
func (b *browser) note(t *testing.T, name, expression string) {
	t.Helper()
	b.run(t, "note "+name, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(
		`new MutationObserver(() => { if (%s) window[%q] = true; }).observe(document, { subtree: true, childList: true, attributes: true })`, expression, name)))
}

// noted says whether something was noted.
func noted(name string) string { return fmt.Sprintf(`window[%q] === true`, name) }

// poll waits for an expression to be true. It has no time limit of its own.
func poll(expression string) chromedp.Action[chromedp.Void] {
	return chromedp.Poll[chromedp.Void](fmt.Sprintf(`(() => { try { return (%s); } catch (err) { if (err instanceof TypeError) return false; throw err; } })()`, expression),
		chromedp.WithPollingTimeout(0))
}

// on does something to an element, e, once it is there and enabled.
func on(element, do string) chromedp.Action[chromedp.Void] {
	return poll(fmt.Sprintf(`(e => {
		if (!e || e.disabled) return false;
		%s;
		return true;
	})(%s)`, do, element))
}

// first is the first element that a selector finds.
func first(selector string) string { return fmt.Sprintf(`document.querySelector(%q)`, selector) }

// seen is the first element of a selector that is on display.
func seen(selector string) string {
	return fmt.Sprintf(`[...document.querySelectorAll(%q)].find(e => e.checkVisibility())`, selector)
}

// fill types a text into a field, or chooses an option once it is offered.
func fill(selector, text string) chromedp.Action[chromedp.Void] {
	return on(first(selector), fmt.Sprintf(`
		if (e.tagName === "SELECT" && ![...e.options].some(o => o.value === %[1]q)) return false;
		e.value = %[1]q;
		e.dispatchEvent(new Event("input", { bubbles: true }));
		e.dispatchEvent(new Event("change", { bubbles: true }))`, text))
}

// send fills a field of a form and sends the form.
func send(form, field, text string) chromedp.Action[chromedp.Void] {
	return on(first(form), fmt.Sprintf(`e.querySelector(%q).value = %q; e.requestSubmit()`, field, text))
}

// focus gives an element the keyboard.
func focus(selector string) chromedp.Action[chromedp.Void] {
	return poll(fmt.Sprintf(`(e => { e.focus(); return document.activeElement === e; })(%s)`, first(selector)))
}

// press clicks the first element that a selector finds.
func press(selector string) chromedp.Action[chromedp.Void] { return pointer(first(selector)) }

// click clicks the first element of a selector whose text is that.
func click(selector, text string) chromedp.Action[chromedp.Void] {
	return pointer(fmt.Sprintf(`[...document.querySelectorAll(%q)].find(e => e.textContent === %q && e.checkVisibility())`, selector, text))
}

// pointer clicks the middle of an element once it is there, enabled and under nothing
// else. Where it is and the click itself are one turn of the page: a pointer that is
// sent to a place measured before misses what a live update has moved meanwhile.
func pointer(element string) chromedp.Action[chromedp.Void] {
	return on(element, `
		e.scrollIntoView({ block: "center", behavior: "instant" });
		const r = e.getBoundingClientRect();
		const hit = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
		if (!hit || !e.contains(hit)) return false;
		e.focus({ preventScroll: true });
		hit.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, composed: true, detail: 1, view: window }))`)
}
