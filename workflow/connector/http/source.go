package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/troupe-dev/troupe/fault"
	"github.com/troupe-dev/troupe/workflow"
	"github.com/troupe-dev/troupe/workflow/connector/json"
)

const (
	// DefaultMaxPageBytes bounds a page where nothing is said.
	DefaultMaxPageBytes = 16 << 20
	// DefaultMaxPages bounds the pages where nothing is said.
	DefaultMaxPages = 10_000
)

// SourceConfig is the "with" block of a node of the type source.http.
type SourceConfig struct {
	URL          string                              `yaml:"url,required" doc:"The address, http or https."`
	Method       string                              `yaml:"method" doc:"GET or POST."`
	Body         string                              `yaml:"body" doc:"The body of a POST, sent as JSON."`
	Query        workflow.Mapping[string]            `yaml:"query" doc:"Parameters that are added to the address, in their encoded form."`
	Headers      workflow.Mapping[HeaderValue]       `yaml:"headers" doc:"Headers by their names; secrets as {secret: env:NAME, prefix: 'Bearer '}."`
	Items        string                              `yaml:"items" doc:"Names that lead to the array of rows in the answer, joined by dots. Without it, it is the answer itself."`
	Columns      workflow.Mapping[json.ColumnConfig] `yaml:"columns,required" doc:"Names and types of the columns, as for source.json."`
	Next         string                              `yaml:"next" doc:"How pages follow: link, body:PATH or page:NAME. Without it there is one."`
	MaxPages     int                                 `yaml:"max_pages" doc:"How many pages are read at most; the run fails beyond."`
	MaxPageBytes int                                 `yaml:"max_page_bytes" doc:"Longest answer; the run fails beyond."`
	Timeout      time.Duration                       `yaml:"timeout" doc:"Bound of one attempt of a request."`
}

var sourceType = workflow.SourceType[SourceConfig]{
	Name:    "source.http",
	Doc:     "Reads rows from the JSON that a server answers, page by page. Rows whose values are not as declared are set aside.",
	Example: "url: https://example.com/api/orders\nquery: {since: '${since}'}\nheaders:\n  Authorization: {secret: env:ORDERS_TOKEN, prefix: 'Bearer '}\nitems: data\nnext: link\ncolumns: {id: int, total: float}",
	Default: SourceConfig{Method: http.MethodGet, MaxPages: DefaultMaxPages, MaxPageBytes: DefaultMaxPageBytes, Timeout: DefaultTimeout},
	Plan: func(c *workflow.Check, config SourceConfig) workflow.SourcePlan {
		u := checkURL(c, config.URL)
		checkHeaders(c, config.Headers)
		if config.Method != http.MethodGet && config.Method != http.MethodPost {
			c.Unknown("method", "method", config.Method, []string{http.MethodGet, http.MethodPost})
		}
		if config.Body != "" && config.Method != http.MethodPost {
			c.Report("body", "a GET has no body", "set method: POST")
		}
		if kind, name, _ := strings.Cut(config.Next, ":"); config.Next != "" && config.Next != "link" && (kind != "body" && kind != "page" || name == "") {
			c.Errorf("next", "%q is no rule for pages; expected link, body:PATH or page:NAME", config.Next)
		}
		if config.MaxPages < 1 {
			c.Errorf("max_pages", "%d is out of range; expected 1 or more", config.MaxPages)
		}
		if config.MaxPageBytes < 1 || config.MaxPageBytes > 1<<30 {
			c.Errorf("max_page_bytes", "%d is out of range; expected 1 to %d", config.MaxPageBytes, 1<<30)
		}
		if config.Timeout <= 0 {
			c.Errorf("timeout", "%s is out of range; expected more than 0", config.Timeout)
		}
		columns, schema, ok := json.NewColumns(c, config.Columns)
		if !ok || c.Failed() {
			return workflow.SourcePlan{}
		}
		query := u.Query()
		for _, item := range config.Query {
			query.Set(item.Key, item.Value)
		}
		u.RawQuery = query.Encode()
		return workflow.SourcePlan{Schema: schema, New: func(*workflow.Env) (workflow.Source, error) {
			return &source{config: config, columns: columns, schema: schema, next: u}, nil
		}}
	},
}

// source reads pages. It implements [workflow.Source] and [workflow.Counter].
type source struct {
	config  SourceConfig
	columns json.Columns
	schema  workflow.Schema

	client *client
	next   *url.URL // of the next page; nil: there is none
	at     *url.URL // of the page under way
	page   *json.Array
	pages  int
	onPage int // rows
	after  *url.URL
	rows   int64
}

// Open resolves the secrets. The first request is that of Read.
func (s *source) Open(context.Context) (err error) {
	s.client, err = newClient(s.next, s.config.Headers, s.config.Timeout)
	return err
}

// Read returns rows of the page under way, or of the next one.
func (s *source) Read(ctx context.Context, max int) (workflow.Batch, []workflow.Reject, error) {
	batch := workflow.Batch{Schema: s.schema, File: s.config.URL}
	if u, err := url.Parse(s.config.URL); err == nil {
		batch.File = u.Host + u.Path
	}
	if s.page == nil {
		if s.next == nil {
			return batch, nil, io.EOF
		}
		if err := s.fetch(ctx); err != nil {
			return batch, nil, err
		}
	}
	var rejects []workflow.Reject
	rows, n := workflow.NewRows(max, s.schema.Len()), 0
	for n < max && len(rejects) < max {
		text, err := s.page.Next()
		if errors.Is(err, io.EOF) {
			s.turn()
			break
		}
		if err != nil {
			return batch, rejects, s.wrong(err)
		}
		s.rows++
		s.onPage++
		if column, reason := s.columns.Fill(text, rows[n]); reason != "" {
			rejects = append(rejects, workflow.Reject{
				File: batch.File, Column: column, Reason: fmt.Sprintf("page %d, element %d: %s", s.pages, s.onPage-1, reason), Raw: strings.ToValidUTF8(string(text), "\ufffd"),
			})
			continue
		}
		n++
	}
	batch.Rows = rows[:n]
	return batch, rejects, nil
}

// wrong is the error of an answer that is not as expected.
func (s *source) wrong(err error) error {
	return failed("http.Read", s.config.Method, s.at, &fault.Error{Code: fault.FailedPrecondition, Message: fmt.Sprintf("page %d: %s", s.pages, err)})
}

// fetch reads the next page and finds out what comes after it.
func (s *source) fetch(ctx context.Context) error {
	s.at, s.next, s.onPage = s.next, nil, 0
	s.pages++
	if s.pages > s.config.MaxPages {
		return s.wrong(fmt.Errorf("there are more than %d pages; raise max_pages", s.config.MaxPages))
	}
	u := s.at
	if name, ok := strings.CutPrefix(s.config.Next, "page:"); ok {
		numbered := *u
		query := u.Query()
		query.Set(name, strconv.Itoa(s.pages))
		numbered.RawQuery = query.Encode()
		u = &numbered
	}
	header := http.Header{"Accept": {"application/json"}}
	if s.config.Method == http.MethodPost {
		header.Set("Content-Type", "application/json")
	}
	got, err := s.client.do(ctx, s.config.Method, u, []byte(s.config.Body), header, s.config.MaxPageBytes)
	if err != nil {
		return failed("http.Read", s.config.Method, u, err)
	}
	if s.page, err = json.NewArray(bytes.NewReader(got.body), s.config.Items, s.config.MaxPageBytes); err != nil {
		return s.wrong(err)
	}
	if s.after, err = s.follow(got); err != nil {
		return s.wrong(err)
	}
	return nil
}

// follow is the address of the page after this one; nil: there is none.
func (s *source) follow(got answer) (*url.URL, error) {
	rule, path, _ := strings.Cut(s.config.Next, ":")
	var text string
	switch rule {
	case "link":
		text = nextLink(got.header.Values("Link"))
	case "body":
		value, err := json.Lookup(got.body, path)
		if err != nil {
			return nil, err
		}
		text = value
	case "page":
		return s.at, nil
	}
	if text == "" {
		return nil, nil //nolint:nilnil // no page is no error
	}
	u, err := s.at.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the address of the next page, %q, is none", text)
	}
	if u.String() == s.at.String() {
		return nil, fmt.Errorf("the page names itself as the next one")
	}
	return u, nil
}

// turn goes on to the next page. Numbered pages end with an empty one.
func (s *source) turn() {
	s.page, s.next = nil, s.after
	if strings.HasPrefix(s.config.Next, "page:") && s.onPage == 0 {
		s.next = nil
	}
}

// nextLink finds the address of the relation "next" in headers, see RFC 8288.
func nextLink(headers []string) string {
	for _, header := range headers {
		for link := range strings.SplitSeq(header, ",") {
			target, params, _ := strings.Cut(link, ";")
			target = strings.TrimSpace(target)
			for param := range strings.SplitSeq(params, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
				if strings.EqualFold(name, "rel") && strings.Trim(value, `"`) == "next" && strings.HasPrefix(target, "<") && strings.HasSuffix(target, ">") {
					return target[1 : len(target)-1]
				}
			}
		}
	}
	return ""
}

// RowsRead counts the rows met so far, good or bad.
func (s *source) RowsRead() int64 { return s.rows }

// Close lets go of the connection.
func (s *source) Close() error {
	if s.client != nil {
		s.client.close()
	}
	return nil
}
