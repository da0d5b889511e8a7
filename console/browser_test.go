package console_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "a folder for screenshots of the page")

// browser is a tab of a headless Chromium, and what its console said.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	messages []string
}

// hang is how long a step may take: on a machine that is busy with other things all
// of this is ten times as slow, and only what never comes is a failure.
const hang = 2 * time.Minute

// shared is the browser that all tests of a process use, each with a tab whose
// storage, cache and view are its own.
var shared struct {
	start sync.Once
	ctx   context.Context // of a tab that stays empty; nil if the machine has no browser
	err   error
	close func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.close != nil {
		shared.close()
	}
	os.Exit(code)
}

// startBrowser starts the browser that the tests share.
func startBrowser() {
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		return
	}
	profile, err := os.MkdirTemp("", "troupe-browser-")
	if err != nil {
		shared.ctx, shared.err = context.Background(), err
		return
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WSURLReadTimeout(hang),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	allocator, end := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(allocator)
	shared.ctx, shared.err = ctx, chromedp.Do(ctx)
	shared.close = func() {
		if err := chromedp.Cancel(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "close the browser: %v\n", err) // some go before they have said goodbye
		}
		cancel()
		end()
		if err := os.RemoveAll(profile); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// newBrowser opens a tab, or skips the test if the machine has no browser.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	if !testing.Short() {
		shared.start.Do(startBrowser)
	}
	if shared.ctx == nil {
		t.Skip("needs Chromium or Chrome in PATH, and no -short")
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	ctx, cancel := chromedp.NewContext(shared.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the tab: %v", err)
		}
		cancel()
	})
	b := &browser{ctx: ctx}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.messages = append(b.messages, string(m.Type)+": "+m.Text+" "+m.URL)
			b.mu.Unlock()
		}
	}()
	return b
}

// said is what the browser's console has shown.
func (b *browser) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.messages...)
}

// run does the actions and fails the test if one fails.
func (b *browser) run(t *testing.T, what string, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, hang)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.Fatalf("%s: %v\nthe browser said:\n%s\nthe page:\n%s", what, err, strings.Join(b.said(), "\n"), b.page())
	}
}

// page is what a reader sees of the page, for a failure.
func (b *browser) page() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.querySelector("main").innerText.slice(0, 2000)`))
	if err != nil {
		return err.Error()
	}
	return text
}

// eval is the value of a JavaScript expression.
func eval[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, hang)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// shoot saves a picture of the whole page if -shots names a folder.
func (b *browser) shoot(t *testing.T, name string) {
	t.Helper()
	if *shots == "" {
		return
	}
	b.run(t, "scroll to the top", chromedp.Evaluate[chromedp.Void](`scrollTo(0, 0)`))
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Errorf("screenshot: %v", err)
		return
	}
	if err := os.WriteFile(filepath.Join(*shots, name+".png"), png, 0o600); err != nil {
		t.Error(err)
	}
}

// contrast lists the texts that are hard to read.
func (b *browser) contrast(t *testing.T) []string {
	t.Helper()
	script, err := os.ReadFile("testdata/contrast.js")
	if err != nil {
		t.Fatal(err)
	}
	return eval[[]string](t, b, string(script))
}

// view sets the size of the window and the theme that the system prefers.
func view(width, height int64, theme string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.EmulateViewport(width, height),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
			})
			return err
		}))
}
