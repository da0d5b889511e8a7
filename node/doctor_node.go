package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits of what the doctor asks a running node.
const (
	treeDepthMax  = 5               // actors on the way down, the deepest included; more is a warning
	doctorTimeout = 5 * time.Second // for each answer
	doctorBytes   = 32 << 20        // of each answer
)

// nodeClient asks a running node.
type nodeClient struct {
	base  string
	token string
}

// findNode tells who has the configured port: nobody, a node, or a stranger.
func (d Diagnosis) findNode(ctx context.Context) (Finding, *nodeClient) {
	f := Finding{Check: "port", Status: FindingOK}
	config := d.Settings.Config.HTTP
	if config.Port == 0 {
		f.Status, f.Detail = FindingSkip, "port 0: a free one is picked at the start"
		return f, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", config.HostPort())
	if err == nil {
		_ = listener.Close() // it was only a probe
		f.Detail = config.HostPort() + " is free"
		return f, nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		detail, hint, _ := strings.Cut(bindError(config, err).Error(), "; ")
		return Finding{Check: f.Check, Status: FindingFail, Detail: detail, Hint: hint}, nil
	}
	host := config.Address
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	token, _ := config.Token.Resolve(d.Env) // a wrong one is reported by the first check
	client := &nodeClient{base: "http://" + net.JoinHostPort(host, strconv.Itoa(config.Port)), token: token}
	var who struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	if err := client.get(ctx, "/api/node", &who); err != nil || who.Name == "" {
		return Finding{
			Check: f.Check, Status: FindingFail, Detail: config.HostPort() + " is taken by something that is no node, or asks for another token",
			Hint: "choose another port with --port",
		}, nil
	}
	f.Detail = fmt.Sprintf("%s is taken by the node %s, version %s", config.HostPort(), who.Name, who.Version)
	return f, client
}

// get reads a JSON answer, whatever its status.
func (c *nodeClient) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	target, err := url.JoinPath(c.base, "/")
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(target, "/")+path, nil)
	if err != nil {
		return err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(io.LimitReader(resp.Body, doctorBytes)).Decode(into)
}

// checkHealth asks a running node how its tree is.
func (c *nodeClient) checkHealth(ctx context.Context) Finding {
	f := Finding{Check: "health"}
	var health struct {
		Status  string `json:"status"`
		Actors  int    `json:"actors"`
		Failing []struct {
			Path   string `json:"path"`
			Reason string `json:"reason"`
		} `json:"failing"`
	}
	if err := c.get(ctx, "/healthz", &health); err != nil {
		return Finding{Check: f.Check, Status: FindingFail, Detail: "/healthz does not answer: " + err.Error()}
	}
	f.Detail = fmt.Sprintf("%s, %d actors", health.Status, health.Actors)
	switch health.Status {
	case "ok":
		f.Status = FindingOK
	case "degraded":
		f.Status, f.Hint = FindingWarn, "see "+c.base+"/healthz"
	default:
		f.Status, f.Hint = FindingFail, "see "+c.base+"/healthz"
		for _, trouble := range health.Failing {
			f.Detail += fmt.Sprintf("; %s: %s", trouble.Path, trouble.Reason)
		}
	}
	return f
}

// treeNode is what the depth of a tree is counted from.
type treeNode struct {
	Path     string          `json:"path"`
	Children []treeNode      `json:"children"`
	More     json.RawMessage `json:"more"`
}

// deepest returns the number of actors on the longest way down from n, which is
// not counted, the path at its end, and whether children were left out.
func (n *treeNode) deepest() (depth int, path string, partial bool) {
	path, partial = n.Path, n.More != nil
	for i := range n.Children {
		below, at, more := n.Children[i].deepest()
		if below+1 > depth {
			depth, path = below+1, at
		}
		partial = partial || more
	}
	return depth, path, partial
}

// checkDepth asks a running node for its tree and warns when it is deep.
func (c *nodeClient) checkDepth(ctx context.Context) Finding {
	f := Finding{Check: "tree depth", Status: FindingOK}
	var tree struct {
		Root *treeNode `json:"root"`
	}
	if err := c.get(ctx, "/api/tree?limit=1000", &tree); err != nil || tree.Root == nil {
		return Finding{Check: f.Check, Status: FindingFail, Detail: "/api/tree does not answer"}
	}
	depth, path, partial := tree.Root.deepest()
	f.Detail = fmt.Sprintf("%d levels, the deepest is %s", depth, path)
	if partial {
		f.Detail += ", of the part that was looked at"
	}
	if depth > treeDepthMax {
		f.Status = FindingWarn
		f.Hint = fmt.Sprintf("more than %d levels are hard to reason about; let supervisors be siblings", treeDepthMax)
	}
	return f
}
