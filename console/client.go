package console

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/store"
)

// Bounds of what a [Client] asks.
const (
	clientTimeout = 60 * time.Second // for each answer
	clientBytes   = 64 << 20         // of each answer
)

// Client asks another process's console. Its errors have the code that the
// console answered with; UNAVAILABLE if nobody answers. It is safe for concurrent
// use.
type Client struct {
	base  string
	token string
	http  http.Client
}

// NewClient returns a client for the console at a URL such as
// "http://127.0.0.1:8080/". Token is the secret that it asks for, "" if none.
func NewClient(base, token string) *Client {
	return &Client{
		base: strings.TrimRight(base, "/"), token: token,
		http: http.Client{Timeout: clientTimeout, Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}},
	}
}

// send sends a request and returns the answer, whatever it is.
func (c *Client) send(ctx context.Context, method, path string, body any, header ...string) (*http.Response, error) {
	const op = "console.Client"
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, fault.Wrap(fault.InvalidArgument, op, err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidArgument, op, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &fault.Error{Code: fault.Unavailable, Op: op, Target: c.base, Cause: err}
	}
	return resp, nil
}

// call sends a request and decodes the answer into into, which may be nil.
func (c *Client) call(ctx context.Context, method, path string, body, into any, header ...string) error {
	const op = "console.Client"
	resp, err := c.send(ctx, method, path, body, header...)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, clientBytes))
	if err != nil {
		return &fault.Error{Code: fault.Unavailable, Op: op, Target: c.base, Cause: err}
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return c.refusal(resp, text)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return &fault.Error{Code: fault.Internal, Op: op, Target: c.base, Message: "the answer is not that of a node", Cause: err}
	}
	return nil
}

// refusal is the error of an answer that is no success.
func (c *Client) refusal(resp *http.Response, body []byte) error {
	var p Problem
	e := &fault.Error{Op: "console.Client", Target: c.base, Code: fault.Internal}
	if err := json.Unmarshal(body, &p); err != nil || p.Detail == "" {
		e.Message = resp.Status + ": " + short(strings.TrimSpace(string(body)))
		if resp.StatusCode == http.StatusUnauthorized {
			e.Code, e.Hint = fault.Unauthenticated, "set http.token as the node has it"
		}
		return e
	}
	e.Message, e.Hint = p.Detail, p.Hint
	if code, err := fault.ParseCode(p.Code); err == nil {
		e.Code = code
	}
	if p.Target != "" {
		e.Target = p.Target
	}
	return e
}

// Overview implements [Mail].
func (c *Client) Overview(ctx context.Context) (o MailOverview, err error) {
	err = c.call(ctx, http.MethodGet, "/api/mail", nil, &o)
	return o, err
}

// Letters implements [Mail].
func (c *Client) Letters(ctx context.Context, q LetterQuery) (page LetterPage, err error) {
	err = c.call(ctx, http.MethodGet, "/api/letters?"+q.values().Encode(), nil, &page)
	return page, err
}

func letterPath(id store.LetterID) string { return "/api/letters/" + strconv.FormatInt(int64(id), 10) }

// Letter implements [Mail].
func (c *Client) Letter(ctx context.Context, id store.LetterID) (l Letter, err error) {
	err = c.call(ctx, http.MethodGet, letterPath(id), nil, &l)
	return l, err
}

// EditLetter implements [Mail].
func (c *Client) EditLetter(ctx context.Context, id store.LetterID, e LetterEdit) (l Letter, err error) {
	err = c.call(ctx, http.MethodPut, letterPath(id), e, &l, "If-Match", etag(e.Version))
	return l, err
}

// DeleteLetters implements [Mail].
func (c *Client) DeleteLetters(ctx context.Context, d LetterDelete) (int, error) {
	if len(d.IDs) == 1 && d.Version != 0 && !d.DryRun {
		return 1, c.call(ctx, http.MethodDelete, letterPath(d.IDs[0]), nil, nil, "If-Match", etag(d.Version))
	}
	var deleted Deleted
	err := c.call(ctx, http.MethodPost, "/api/letters/delete", d, &deleted)
	return deleted.Letters, err
}

// Rehearse implements [Mail].
func (c *Client) Rehearse(ctx context.Context, ids []store.LetterID) ([]Rehearsal, error) {
	var done Rehearsals
	err := c.call(ctx, http.MethodPost, "/api/rehearsals", RehearsalRequest{ids}, &done)
	return done.Rehearsals, err
}

// Redrive implements [Mail].
func (c *Client) Redrive(ctx context.Context, r RedriveRequest) (begun Redrive, err error) {
	err = c.call(ctx, http.MethodPost, "/api/redrives", r, &begun)
	return begun, err
}

// RedriveOf implements [Mail].
func (c *Client) RedriveOf(ctx context.Context, id string) (r Redrive, err error) {
	err = c.call(ctx, http.MethodGet, "/api/redrives/"+id, nil, &r)
	return r, err
}

// StopRedrive implements [Mail].
func (c *Client) StopRedrive(ctx context.Context, id string) (r Redrive, err error) {
	err = c.call(ctx, http.MethodDelete, "/api/redrives/"+id, nil, &r)
	return r, err
}
