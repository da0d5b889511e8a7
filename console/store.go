package console

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// Store is what the console does to a node's store as a whole. It must be safe
// for concurrent use.
type Store interface {
	// Backup returns a copy of the store as it was at one moment, to be read once
	// and closed. UNIMPLEMENTED for an engine that cannot copy itself.
	Backup(ctx context.Context) (*os.File, error)
	// Check reads everything and returns what is wrong.
	Check(ctx context.Context) ([]store.Finding, error)
}

// Findings is the answer of POST /api/store/check.
type Findings struct {
	Findings []store.Finding `json:"findings"` // none for a sound store
}

// storeRoutes adds the paths about the store as a whole. Both are POST, as they
// are work that no page of another site should be able to cause.
func (c *Console) storeRoutes() {
	c.plain(plainRoute{
		method: http.MethodPost, path: "/api/store/check", summary: "What is damaged in the store", answer: reflect.TypeFor[Findings](),
	}, c.withStore(c.checkStore))
	c.plain(plainRoute{
		method: http.MethodPost, path: "/api/store/backup", summary: "A copy of the store", kind: "application/octet-stream",
	}, c.withStore(c.backupStore))
}

func (c *Console) withStore(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if c.opts.Store == nil {
			fail(w, fault.New(fault.NotFound, "console", "this node has no store"))
			return
		}
		next(w, r)
	}
}

func (c *Console) checkStore(w http.ResponseWriter, r *http.Request) {
	findings, err := c.opts.Store.Check(r.Context())
	if findings == nil {
		findings = []store.Finding{}
	}
	answer(w, Findings{findings}, err)
}

// backupStore answers with the copy itself. A client can tell from the length
// whether it has all of it.
func (c *Console) backupStore(w http.ResponseWriter, r *http.Request) {
	file, err := c.opts.Store.Backup(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		fail(w, fault.Wrap(fault.Internal, "console", err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="troupe.backup"`)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Time{}) // a large copy takes its time; not all writers have deadlines
	_, _ = io.Copy(w, file)               // the client sees that it is short, nobody else can be told
}

// CheckStore asks the node to check its store. It waits for as long as ctx lets it.
func (c *Client) CheckStore(ctx context.Context) ([]store.Finding, error) {
	var found Findings
	err := c.patient().call(ctx, http.MethodPost, "/api/store/check", nil, &found)
	return found.Findings, err
}

// BackupStore writes a copy of the node's store. It waits for as long as ctx lets
// it. With an error, what was written is not a backup.
func (c *Client) BackupStore(ctx context.Context, to io.Writer) error {
	resp, err := c.patient().send(ctx, http.MethodPost, "/api/store/backup", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, clientBytes)) // the status says enough without it
		return c.refusal(resp, text)
	}
	if resp.ContentLength < 0 {
		return fault.New(fault.Internal, "console.Client", "the answer has no length")
	}
	n, err := io.Copy(to, resp.Body)
	if err == nil && n != resp.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &fault.Error{Code: fault.Unavailable, Op: "console.Client", Target: c.base, Message: "the node ended in mid-answer", Cause: err}
	}
	return err
}

// patient is the client without a bound of its own for an answer.
func (c *Client) patient() *Client {
	p := &Client{base: c.base, token: c.token, http: c.http}
	p.http.Timeout = 0
	return p
}
