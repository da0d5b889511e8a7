// Package http reads rows from and sends rows to HTTP servers: the node types
// source.http and sink.http. The task task.http makes one request.
//
// # Requests of sources and sinks
//
// A request that fails for a transient reason (no answer, 408, 429, 500, 502,
// 503, 504) is made again up to three times, after 1, 2 and 4 seconds, or when
// the server's Retry-After says, and through a circuit breaker, so that a server
// that is down is left alone. Any other status than 2xx fails the run. A header
// that holds a secret names where the secret is; it is sent to the host of the
// URL alone, and never shown. Redirects to another host are refused.
//
// # Source
//
// The answer is a JSON document; rows are the objects of the array at its root,
// or at the path items, as for source.json. Pages follow by one of three rules:
//
//	next: link       the header Link: <URL>; rel="next"
//	next: body:PATH  the URL, or the path and query, in the document at PATH
//	next: page:NAME  the parameter NAME counts the pages from 1, until one is empty
//
// A page is read whole before its rows go on, at most max_page_bytes; one page
// is held at a time, so that a slow sink slows the requests down.
//
// # Sink
//
// Rows are sent as JSON, at most batch_rows in a request: an array of objects, or
// an object on each line. HTTP knows no transaction: a request that was answered
// stays when the run fails later. Nothing is sent before the last row has come
// and every other sink is ready: the rows wait in a file of the temporary
// directory. Each request has the header Idempotency-Key, made of the run's key
// and the number of the request, the same when it is made again, after a crash
// as well: a server that heeds it applies each request once; to any other, what
// is promised is at least once.
//
// # Task
//
// An attempt of a task is one request, so that each is in the history of the run;
// the node's retry says how they are repeated, and codes as above which. The key
// in Idempotency-Key is that of the node in its run.
package http

import "github.com/troupe-dev/troupe/workflow"

// Register adds the node types source.http, sink.http and task.http.
func Register(r *workflow.Registry) { r.Add(sourceType, sinkType, taskType) }
