package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/breaker"
	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/internal/yamldoc"
	"github.com/troupe-dev/troupe/retry"
	"github.com/troupe-dev/troupe/secret"
	"github.com/troupe-dev/troupe/workflow"
)

const (
	// DefaultTimeout bounds one attempt of a request where nothing is said.
	DefaultTimeout = 30 * time.Second
	// retryAfterMax is how long a server may ask to wait.
	retryAfterMax = time.Minute
	// errorBodyMax is how much of the answer to a failed request is shown.
	errorBodyMax = 300
)

// HeaderValue is the value of a header: a text, or {secret: env:NAME} with a
// prefix such as "Bearer ".
type HeaderValue struct {
	Secret secret.Ref `yaml:"secret,required" doc:"env:NAME or file:PATH."`
	Prefix string     `yaml:"prefix" doc:"Put in front of the secret, such as 'Bearer '."`
	text   string
}

// UnmarshalNode reads the short form and the long one.
func (h *HeaderValue) UnmarshalNode(d *yamldoc.Decoder, n yamldoc.Node) yamldoc.Errors {
	if n.IsMapping() {
		type long HeaderValue
		return d.Decode(n, (*long)(h))
	}
	return d.Decode(n, &h.text)
}

// MarshalTree writes the short form where there is no secret.
func (h HeaderValue) MarshalTree() yamldoc.Tree {
	if h.Secret.IsZero() {
		return yamldoc.TextTree(h.text)
	}
	type long HeaderValue
	return yamldoc.TreeOf(long(h))
}

// Header is the value of a header that is no secret.
func Header(text string) HeaderValue { return HeaderValue{text: text} }

// YAMLType names the type in the documentation of node types.
func (HeaderValue) YAMLType() string { return "text, or mapping of secret, prefix" }

// secretHeaders are headers whose value is a secret by their meaning.
var secretHeaders = []string{"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key"}

// checkURL checks an address that stands under the key url.
func checkURL(c *workflow.Check, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		c.Report("url", fmt.Sprintf("%q is no address of HTTP", text), "expected https://HOST/PATH")
		return &url.URL{}
	}
	if _, set := u.User.Password(); set {
		c.Report("url", "the address has a password in it", "send it as a header: headers: {Authorization: {secret: env:NAME, prefix: 'Basic '}}")
	}
	return u
}

func checkHeaders(c *workflow.Check, headers workflow.Mapping[HeaderValue]) {
	for _, h := range headers {
		path := workflow.KeyPath("headers", h.Key)
		if h.Key == "" || strings.ContainsAny(h.Key, " \t\r\n:") || strings.ContainsAny(h.Value.text+h.Value.Prefix, "\r\n") {
			c.Errorf(path, "it cannot be a header")
		}
		if h.Value.Secret.IsZero() && slices.Contains(secretHeaders, http.CanonicalHeaderKey(h.Key)) {
			c.Report(path, "the value of this header is a secret", "write {secret: env:NAME}, or {secret: file:PATH, prefix: 'Bearer '}")
		}
	}
}

// client makes requests to one host.
type client struct {
	http    *http.Client
	breaker *breaker.Breaker
	policy  retry.Policy
	headers http.Header
	host    string
}

func newClient(u *url.URL, headers workflow.Mapping[HeaderValue], timeout time.Duration) (*client, error) {
	b, err := breaker.New(breaker.Config{Target: u.Host})
	if err != nil {
		return nil, err
	}
	c := &client{breaker: b, headers: http.Header{}, host: u.Host, policy: retry.Policy{Jitter: 0.2}}
	for _, h := range headers {
		value := h.Value.text
		if !h.Value.Secret.IsZero() {
			secret, err := h.Value.Secret.Resolve(os.Environ())
			if err != nil {
				return nil, &fault.Error{Code: fault.FailedPrecondition, Op: "http.Open", Target: u.Host, Message: "the header " + h.Key + " is not known: " + err.Error()}
			}
			value = h.Value.Prefix + secret
		}
		c.headers.Set(h.Key, value)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: timeout, MaxIdleConnsPerHost: 1, ForceAttemptHTTP2: true}
	c.http = &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		const redirectsMax = 10
		if r.URL.Host != c.host || len(via) > redirectsMax {
			return fmt.Errorf("it redirects to %s, which is not followed", r.URL.Host)
		}
		return nil
	}}
	return c, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// statusError is an answer that is no success.
type statusError struct {
	status string
	code   fault.Code
	after  time.Duration
	body   string
}

// Error is the status and the beginning of the answer.
func (e *statusError) Error() string {
	text := "the server answers " + e.status
	if e.body != "" {
		text += ": " + e.body
	}
	return text
}

// FaultCode classifies the status, see [fault.CodeOf].
func (e *statusError) FaultCode() fault.Code { return e.code }

// RetryAfter is how long the server asks to wait, see [retry.RetryAfter].
func (e *statusError) RetryAfter() time.Duration { return e.after }

// codeOf classifies a status.
func codeOf(status int) fault.Code {
	switch status {
	case http.StatusUnauthorized:
		return fault.Unauthenticated
	case http.StatusForbidden:
		return fault.PermissionDenied
	case http.StatusNotFound, http.StatusGone:
		return fault.NotFound
	case http.StatusConflict:
		return fault.FailedPrecondition
	case http.StatusTooManyRequests:
		return fault.ResourceExhausted
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable:
		return fault.Unavailable
	case http.StatusGatewayTimeout:
		return fault.DeadlineExceeded
	}
	return fault.InvalidArgument
}

// answer is a success: its header and at most limit bytes of body.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes a request until it succeeds or fails for good.
func (c *client) do(ctx context.Context, method string, u *url.URL, body []byte, more http.Header, limit int) (answer, error) {
	if u.Host != c.host {
		return answer{}, fmt.Errorf("it leads to %s, which is not followed", u.Host)
	}
	return retry.DoValue(ctx, c.policy, func(ctx context.Context) (answer, error) {
		return breaker.DoValue(ctx, c.breaker, func(ctx context.Context) (answer, error) {
			return c.once(ctx, method, u, body, more, limit)
		})
	})
}

func (c *client) once(ctx context.Context, method string, u *url.URL, body []byte, more http.Header, limit int) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, retry.Permanent(err)
	}
	for _, headers := range []http.Header{c.headers, more} {
		maps.Copy(request.Header, headers)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // the address is named by the caller
		}
		return answer{}, &fault.Error{Code: fault.Unavailable, Message: "no answer", Cause: err}
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(response.Body, int64(limit)+1))
	if response.StatusCode < 200 || response.StatusCode > 299 {
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After")) // a date is not heeded
		shown := strings.Join(strings.Fields(strings.ToValidUTF8(string(text[:min(len(text), errorBodyMax)]), "")), " ")
		return answer{}, &statusError{
			status: response.Status, code: codeOf(response.StatusCode), body: shown,
			after: min(time.Duration(seconds)*time.Second, retryAfterMax),
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return answer{}, ctx.Err()
	case err != nil:
		return answer{}, &fault.Error{Code: fault.Unavailable, Message: "the answer breaks off", Cause: err}
	case len(text) > limit:
		return answer{}, retry.Permanent(&fault.Error{Code: fault.FailedPrecondition, Message: fmt.Sprintf("the answer has more than %d bytes", limit), Hint: "ask for smaller pages, or raise max_page_bytes"})
	}
	return answer{status: response.StatusCode, header: response.Header, body: text}, nil
}

// failed names the request of an error, without its query, which may have a
// secret in it.
func failed(op, method string, u *url.URL, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return &fault.Error{Code: fault.CodeOf(err), Op: op, Target: method + " " + shown.String(), Cause: err}
}
