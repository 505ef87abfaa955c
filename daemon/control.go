package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"tattled/event"
	"tattled/policy"
	"tattled/setting"
	"tattled/web"
)

// runtimeFolder is what systemd makes for the service while it runs (RuntimeDirectory=).
const runtimeFolder = "/run/tattled"

// control looks whether the control socket can be opened. The running daemon has it: the socket itself is not touched.
func (c *checking) control() {
	if _, err := c.cfg.readFeedToken(); err != nil {
		f := c.cfg.origin.located(err.Error())
		c.fault(f.Setting, f.Problem)
	}
	path := c.cfg.Control.File()
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	switch {
	case dir == runtimeFolder && (path == web.DefaultControl || errors.Is(err, fs.ErrNotExist)):
		return // the start of the service makes it
	case errors.Is(err, fs.ErrNotExist):
		c.fault("control.path", fmt.Sprintf("its folder %s does not exist: %s, or leave control.path out", dir, c.makeFolder(dir)))
		return
	case err != nil:
		c.fault("control.path", fmt.Sprintf("its folder cannot be used: %v: set control.path to a file in a folder of the service's own", err))
		return
	case !info.IsDir():
		c.fault("control.path", fmt.Sprintf("%s is not a folder: set control.path to a file in one", dir))
		return
	}
	if c.units.installed() && dir != runtimeFolder && !c.units.writable(dir) {
		c.warnings = append(c.warnings, fmt.Sprintf("control.path: the service sees %s read-only (ProtectSystem=strict): leave control.path out, or `systemctl edit tattled`, add [Service] and ReadWritePaths=%[1]s", dir))
	}
	if err := access(dir, unix.W_OK|unix.X_OK); err != nil {
		c.fault("control.path", fmt.Sprintf("%s cannot write to its folder: %v: %s, or leave control.path out", c.who(dir), err, c.give(dir)))
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		c.fault("control.path", path+" exists and is not a socket: remove it, or choose another path")
	}
}

// gatekeeper answers for the page and the control socket what the engine in use says of an address.
type gatekeeper struct{ live *atomic.Pointer[engine] }

// RefuseNetwork says why nothing about a network may go to a third party, and why nobody should block it.
func (g gatekeeper) RefuseNetwork(p netip.Prefix) (reason, because string) {
	gate := g.live.Load().gate
	return refusalText(gate, gate.RefuseNetwork(p), p.Addr())
}

// RefuseEvent says why an event cannot lead to a report.
func (g gatekeeper) RefuseEvent(e *event.Event) (reason, because string) {
	gate := g.live.Load().gate
	return refusalText(gate, gate.Refuse(e), e.Addr)
}

func refusalText(gate *policy.Gate, r policy.Refusal, addr netip.Addr) (reason, because string) {
	if r == policy.None {
		return "", ""
	}
	return r.String(), gate.Because(r, addr)
}

// Reports says whether a destination is a third party.
func (g gatekeeper) Reports(destination string) bool {
	return g.live.Load().destination(destination).action == policy.Report
}

// feedToken is the secret that clients of the feed must send.
func feedToken() secretName { return secretName{"feed.token", "TATTLED_FEED_TOKEN"} }

// leastToken is how long it must be, in bytes: whoever knows it gets every address that was reported.
const leastToken = 16

// readFeedToken returns the token, nothing where there is none. Its error begins with the setting.
func (c *Config) readFeedToken() (setting.Secret, error) {
	token, err := c.secret(feedToken(), c.Web.FeedTokenFile)
	switch {
	case err != nil:
		return setting.Secret{}, fmt.Errorf("web.feed_token_file: %w", err)
	case !token.IsZero() && len(token.Reveal()) < leastToken:
		return setting.Secret{}, fmt.Errorf("web.feed_token_file: the token has fewer than %d bytes: make one with `openssl rand -hex 16`", leastToken)
	}
	return token, nil
}
