// Package client asks a running daemon by its control socket. Commands use it; what they print comes from here as the daemon sent it, so
// they make it harmless again before a terminal sees it.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tattled/event"
)

// The bounds of an answer.
const (
	maxAnswer  = 64 << 20
	maxProblem = 4 << 10
	maxMessage = 1 << 20 // of an event stream
)

// Unreachable means that no daemon answers on the socket. Its text says what to do.
type Unreachable struct{ text string }

func (e *Unreachable) Error() string { return e.text }

// Refused means that the daemon answered with an error.
type Refused struct {
	Status int
	Detail string // harmless to show
}

func (e *Refused) Error() string { return e.Detail }

// Client asks the daemon whose control socket is at a path.
type Client struct {
	path string
	http *http.Client
}

// New returns a client. It connects when it is asked something.
func New(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, MaxResponseHeaderBytes: 16 << 10}}}
}

// Close closes the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get asks for a path of the API and returns the body of the answer.
func (c *Client) Get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	res, err := c.do(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return c.all(ctx, res)
}

// all reads the body of an answer.
func (c *Client) all(ctx context.Context, res *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.explain(ctx, err)
	case len(body) > maxAnswer:
		return nil, errors.New("the daemon's answer is too long")
	}
	return body, nil
}

// Read asks for a path and reads the JSON of the answer into v. It returns the JSON as well.
func (c *Client) Read(ctx context.Context, path string, query url.Values, v any) ([]byte, error) {
	body, err := c.Get(ctx, path, query)
	return into(v, body, err)
}

// Send posts JSON to a path and reads the JSON of the answer into v. It returns the JSON as well.
func (c *Client) Send(ctx context.Context, path string, body []byte, v any) ([]byte, error) {
	res, err := c.Post(ctx, path, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := c.all(ctx, res)
	return into(v, answer, err)
}

func into(v any, body []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("the daemon's answer cannot be read (is it of another version?): %w", err)
	}
	return body, nil
}

// Follow calls fn with the JSON of each event that comes after a sequence number, and of those that fit a query, until ctx ends or fn
// fails; skipped, for events that came too fast. It returns an error if the daemon ends the stream.
func (c *Client) Follow(ctx context.Context, after uint64, query url.Values, fn func(event []byte) error, skipped func(n uint64)) error {
	all := url.Values{"after": {strconv.FormatUint(after, 10)}}
	for name, values := range query {
		all[name] = values
	}
	res, err := c.do(ctx, http.MethodGet, "/events", all, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxMessage)
	var kind string
	for lines.Scan() {
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(name) {
		case "event":
			kind = string(value)
		case "data":
			switch kind {
			case "event":
				if err := fn(value); err != nil {
					return err
				}
			case "skipped":
				var s struct{ Skipped uint64 }
				if json.Unmarshal(value, &s) == nil {
					skipped(s.Skipped)
				}
			}
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil
	case lines.Err() != nil:
		return c.explain(ctx, lines.Err())
	}
	return &Unreachable{"the daemon ended the stream: it stops, or is restarted"}
}

// Post sends JSON to a path and returns the answer, whose body the caller closes.
func (c *Client) Post(ctx context.Context, path string, body []byte) (*http.Response, error) {
	return c.do(ctx, http.MethodPost, path, nil, body)
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "tattled", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var p struct{ Title, Detail string }
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	_ = json.Unmarshal(text, &p) // the status is there if nothing else is
	refused := &Refused{res.StatusCode, event.Visible(p.Detail)}
	if refused.Detail == "" {
		refused.Detail = "the daemon answers with " + event.Visible(res.Status)
	}
	return nil, refused
}

// explain says what is wrong and what to do about it.
func (c *Client) explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return &Unreachable{"no permission for " + c.path + ": " + c.permission()}
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return &Unreachable{"no daemon answers on " + c.path + ": `systemctl status tattled` says whether it runs; --control names the socket of another one (control.path in its configuration)"}
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded):
		return &Unreachable{"the daemon does not respond on " + c.path + ": `systemctl status tattled` and its log say why"}
	default:
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return &Unreachable{fmt.Sprintf("the daemon cannot be asked on %s: %v", c.path, err)}
	}
}

// permission says who may connect: the group of the socket, or of the folder that hides it.
func (c *Client) permission() string {
	for _, path := range []string{c.path, filepath.Dir(c.path)} {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || st.Gid == 0 {
			break
		}
		group := strconv.FormatUint(uint64(st.Gid), 10)
		if g, err := user.LookupGroupId(group); err == nil {
			group = g.Name
		}
		return fmt.Sprintf("be root, or a member of group %s (`usermod -aG %[1]s %s`, in effect at the next login)", group, me())
	}
	return "be root"
}

func me() string {
	if u, err := user.Current(); err == nil && !strings.ContainsAny(u.Username, " '\"$`\\") {
		return u.Username
	}
	return "NAME"
}
