package console

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/troupe-dev/troupe/fault"
)

// Bounds of request bodies, in bytes: of an edited letter, which may be as large
// as a store takes, written in hexadecimal; of what is about workflows, of which
// a definition as JSON and the payload of a signal are the largest; and of all
// others, of which a list of letters is the largest.
const (
	bodyMax         = 32 << 10
	letterBodyMax   = 18 << 20
	workflowBodyMax = 4 << 20
)

// bodyLimit is the bound for a request.
func bodyLimit(method, path string) int64 {
	if method == http.MethodPut && strings.HasPrefix(path, "/api/letters/") {
		return letterBodyMax
	}
	for _, prefix := range []string{"/api/workflows", "/api/runs", "/api/schedule", "/api/triggers", "/api/hooks"} {
		if strings.HasPrefix(path, prefix) {
			return workflowBodyMax
		}
	}
	return bodyMax
}

// contentPolicy lets the page load its own files and talk to its own server,
// and nothing else: no inline script or style, no other origin, no frame
// around it, no text turned into HTML.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard is what every request passes: the Host check against DNS rebinding,
// the origin check against requests forged by other sites, the limit on
// bodies, and the headers that confine the page.
func guard(hosts []string, next http.Handler) http.Handler {
	allowed := make(map[string]bool, len(hosts))
	for _, host := range hosts {
		allowed[strings.ToLower(host)] = true
	}
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(w, Problem{
			Status: http.StatusForbidden,
			Detail: "the request comes from another site",
			Code:   fault.PermissionDenied.String(),
			Hint:   "send it from the console itself, or from a program without an Origin header",
		})
	}))
	protected := origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if strings.HasPrefix(r.URL.Path, HooksPath) { // of no browser: its trigger checks who it is from
			r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r.Method, r.URL.Path))
			next.ServeHTTP(w, r)
			return
		}
		if !hostAllowed(r.Host, allowed) {
			problem(w, Problem{
				Status: http.StatusMisdirectedRequest,
				Detail: fmt.Sprintf("this console does not answer to the host name %q", r.Host),
				Code:   fault.PermissionDenied.String(),
				Hint:   "open it as " + localAddress(r) + " on the machine itself, or add the name to the console's hosts",
				Target: r.Host,
			})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r.Method, r.URL.Path))
		protected.ServeHTTP(w, r)
	})
}

// hostAllowed reports whether a Host header names this machine's loopback
// interface or one of the configured names. The port does not matter: a page
// that rebinds its name to our address still sends its own name.
func hostAllowed(hostport string, allowed map[string]bool) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if host == "localhost" || allowed[host] {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// localAddress is the console's address for a browser on its own machine, with
// the port that the request came in by.
func localAddress(r *http.Request) string {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return "http://localhost"
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://localhost"
	}
	return "http://" + net.JoinHostPort("localhost", port)
}
