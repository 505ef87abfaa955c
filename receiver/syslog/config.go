package syslog

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tattled/setting"
)

// Config is one listener: one entry under `sources.syslog`.
type Config struct {
	// Listen is where to listen: "udp://ADDRESS:PORT", "tcp://ADDRESS:PORT", or "unix:///PATH" for a datagram socket like
	// /dev/log. The address is a number, never a name; "0.0.0.0" is every IPv4 address of this machine, and without one
	// ("udp://:514") it is every address, IPv4 and IPv6. If systemd passed a socket with the same address (tattled.socket), that one is used. Required. A change needs
	// a restart.
	Listen string `yaml:"listen"`

	// Reporter is the operator's label for what comes in here. It is shown on the page, in alerts and in metrics, and never
	// sent to AbuseIPDB. Default: the host that each record names.
	Reporter string `yaml:"reporter"`

	// Allow lists the networks and addresses that may send. From elsewhere datagrams are dropped and connections closed,
	// both counted as not-allowed. Default: everyone may. Not for unix sockets.
	Allow []setting.Network `yaml:"allow"`

	// Trust says what may follow from what comes in here. By default what comes by TCP from an address in allow that is not
	// this machine's own, and what a user in peers writes to a unix socket, may lead to a report. All else is counted, shown
	// and alerted on: the sender of a datagram is easily forged, and to a port of this machine every user of it and every
	// web page that is open in a browser on it can write. "report" lets everything that comes in here lead to reports,
	// "count" nothing.
	Trust string `yaml:"trust"`

	// Datagrams says what a datagram is, for UDP and unix sockets: a "record", line feeds included (RFC 5426), or "lines",
	// for senders that put several records into one. With "lines" nothing that comes in here leads to a report, because
	// applications log text of strangers, who write a line feed and a record of their choice behind it. Default: record.
	Datagrams string `yaml:"datagrams"`

	// Peers lists the users, by name or number, whose records on a unix socket may lead to a report; those of others who may
	// write there (Mode) are counted, shown and alerted on. The kernel says whose they are. It cannot say so of users that a
	// service with PrivateUsers= does not see, which are all but root and its own: see trust. Default: root, and the system
	// user syslog where there is one.
	Peers []string `yaml:"peers"`

	// Program is whose messages those are that name no program, as network devices send them: mikrotik for RouterOS in its
	// formats bsd-syslog and syslog, kernel for a UniFi gateway. Give them a listener of their own, with allow. Default: none,
	// and no rule judges such messages.
	Program string `yaml:"program"`

	// Form is the form of the access log that a web server writes here: combined, common, vhost_combined, or the string of
	// Apache's LogFormat or of nginx' log_format. It is believed exactly; without it each line's form is guessed. It is not
	// for logs of JSON. Default: none.
	Form string `yaml:"form"`

	// Timezone is the zone of timestamps that name none, like those of RFC 3164: "Europe/Brussels", "UTC". Default: the zone
	// of this machine.
	Timezone string `yaml:"timezone"`

	// MaxLine is the longest record in bytes, 512 to 65536. A longer one is cut there, counted, and matches no rule,
	// unless it is of an access log and its status is before the cut. Default: 8192.
	MaxLine int `yaml:"max_line"`

	// MaxConnections bounds the TCP connections open at once, 1 to 65536. When it is reached, a new one takes the place of
	// the longest silent one of the address that has the most. Default: 1024.
	MaxConnections int `yaml:"max_connections"`

	// MaxPerPeer bounds the TCP connections of one IPv4 address or one IPv6 /64, 1 to max_connections. When it is reached, a
	// new one takes the place of the longest silent one of the same address. Default: 64.
	MaxPerPeer int `yaml:"max_per_peer"`

	// IdleTimeout is after how much silence between two records a TCP connection is closed, 10s to 30d. A record that was
	// begun must be whole within a minute, or within this time if it is shorter. Default: 24h.
	IdleTimeout setting.Duration `yaml:"idle_timeout"`

	// ReceiveBuffer is how many bytes of datagrams the kernel is asked to keep for us, 65536 to 268435456. It gives no more
	// than net.core.rmem_max; a socket from systemd may have more (ReceiveBuffer= in tattled.socket), and keeps it. Default:
	// 4194304.
	ReceiveBuffer int `yaml:"receive_buffer"`

	// Ring is how many bytes of what was received and is not yet committed to the state file are kept over a crash, 16777216 to
	// 268435456: in a file in memory that systemd keeps (FileDescriptorStoreMax= in tattled.service), and of which only what is
	// needed is used. When it is full, nothing is read until there is room. A change takes effect when the service was stopped
	// and started. Default: 16777216.
	Ring int `yaml:"ring"`

	// Mode is the file mode of a unix socket, in octal: who may write there. Default: "0660".
	Mode string `yaml:"mode"`
}

// Listeners is the section sources.syslog.
type Listeners []Config

// Check reports the entries that listen where another one does. The entries have a Check of their own.
func (l Listeners) Check(report setting.FaultFunc) {
	first := map[string]int{}
	for i := range l {
		if other, twice := first[l[i].Listen]; twice {
			report(fmt.Sprintf("[%d].listen", i), fmt.Sprintf("entry %d listens on %s already: remove one of them", other, l[i].Listen))
			continue
		}
		first[l[i].Listen] = i
	}
}

// Address returns where c listens, of UDP and TCP: ok is false for a unix socket, and where Listen is at fault.
func (c *Config) Address() (network string, at netip.AddrPort, ok bool) {
	found, err := parseListen(c.Listen)
	return found.network, found.addr, err == nil && found.network != "unix"
}

// The defaults and the bounds of Config.
const (
	defaultMaxLine        = 8 << 10
	defaultMaxConnections = 1024
	defaultMaxPerPeer     = 64
	defaultIdleTimeout    = 24 * time.Hour
	defaultReceiveBuffer  = 4 << 20
	defaultRing           = 16 << 20
	defaultMode           = 0o660

	datagramsRecord = "record"
	datagramsLines  = "lines"

	maxUnixPath = 107 // bytes in sockaddr_un, less the NUL
)

// withDefaults returns c with what was left out filled in.
func (c Config) withDefaults() Config {
	if c.MaxLine == 0 {
		c.MaxLine = defaultMaxLine
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = defaultMaxConnections
	}
	if c.MaxPerPeer == 0 {
		c.MaxPerPeer = min(defaultMaxPerPeer, c.MaxConnections)
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = setting.Duration(defaultIdleTimeout)
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = defaultReceiveBuffer
	}
	if c.Ring == 0 {
		c.Ring = defaultRing
	}
	return c
}

// Check reports every fault of c.
func (c *Config) Check(report setting.FaultFunc) {
	at, err := parseListen(c.Listen)
	if err != nil {
		report("listen", err.Error())
	}
	if at.network == "unix" && len(c.Allow) > 0 {
		report("allow", "a unix socket has no peer addresses: leave allow out, and see mode")
	}
	if _, err := c.mode(); err != nil {
		report("mode", err.Error())
	}
	if c.Mode != "" && err == nil && at.network != "unix" {
		report("mode", "is for unix sockets only: leave it out")
	}
	c.checkTrust(at, err == nil, report)
	if strings.ContainsFunc(c.Program, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		report("program", fmt.Sprintf("%q has a space or a control character: write the name as a syslog tag, such as mikrotik", c.Program))
	}
	if _, err := c.location(); err != nil {
		report("timezone", err.Error())
	}
	d := c.withDefaults()
	between := func(path string, value, low, high int) {
		if value < low || value > high {
			report(path, fmt.Sprintf("%d is out of bounds: %d to %d", value, low, high))
		}
	}
	between("max_line", d.MaxLine, 512, 64<<10)
	between("max_connections", d.MaxConnections, 1, 65536)
	between("max_per_peer", d.MaxPerPeer, 1, max(1, d.MaxConnections))
	between("receive_buffer", d.ReceiveBuffer, 64<<10, 256<<20)
	between("ring", d.Ring, defaultRing, 256<<20) // at least twice what one recvmmsg(2) may bring
	if idle := d.IdleTimeout.D(); idle < 10*time.Second || idle > 30*24*time.Hour {
		report("idle_timeout", fmt.Sprintf("%s is out of bounds: 10s to 30d", d.IdleTimeout))
	}
}

// checkTrust checks what the trust of records depends on. known says that at is.
func (c *Config) checkTrust(at endpoint, known bool, report setting.FaultFunc) {
	switch c.Trust {
	case "", "count", "report":
	default:
		report("trust", fmt.Sprintf("%q: write count or report, or leave it out", c.Trust))
	}
	switch c.Datagrams {
	case "", datagramsRecord:
	case datagramsLines:
		if c.Trust == "report" {
			report("trust", "report cannot be combined with datagrams: lines, because a stranger's text with a line feed in it could then have anybody reported: leave out one of them")
		}
	default:
		report("datagrams", fmt.Sprintf("%q: write record or lines, or leave it out", c.Datagrams))
	}
	if c.Datagrams != "" && known && at.network == "tcp" {
		report("datagrams", "is for UDP and unix sockets only: leave it out")
	}
	if len(c.Peers) > 0 && known && at.network != "unix" {
		report("peers", "is for unix sockets only: leave it out, and see allow")
	}
	if _, err := c.uids(); err != nil {
		report("peers", err.Error())
	}
}

func (c *Config) mode() (fs.FileMode, error) {
	if c.Mode == "" {
		return defaultMode, nil
	}
	mode, err := strconv.ParseUint(c.Mode, 8, 16)
	if err != nil || mode > 0o777 {
		return 0, fmt.Errorf("%q is not a file mode: write it like 0660", c.Mode)
	}
	return fs.FileMode(mode), nil
}

func (c *Config) location() (*time.Location, error) {
	if c.Timezone == "" {
		return time.Local, nil
	}
	loc, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return nil, fmt.Errorf("%q is not a time zone: write a name like Europe/Brussels (is the package tzdata installed?)", c.Timezone)
	}
	return loc, nil
}

// endpoint is where to listen.
type endpoint struct {
	network string // "udp", "tcp", "unix"
	addr    netip.AddrPort
	path    string // of a unix socket
}

// family is the network to open: an IPv4 address, 0.0.0.0 too, is IPv4 alone.
func (p endpoint) family() string {
	if p.addr.Addr().Is4() {
		return p.network + "4"
	}
	return p.network
}

func parseListen(listen string) (endpoint, error) {
	scheme, rest, found := strings.Cut(listen, "://")
	if !found {
		return endpoint{}, fmt.Errorf("%q: write udp://ADDRESS:PORT, tcp://ADDRESS:PORT or unix:///PATH", listen)
	}
	switch scheme {
	case "unix":
		switch {
		case !filepath.IsAbs(rest) || filepath.Clean(rest) != rest:
			return endpoint{}, fmt.Errorf("%q: write the whole path of the socket, as in unix:///run/tattled/log", listen)
		case len(rest) > maxUnixPath:
			return endpoint{}, fmt.Errorf("%q: a socket's path has at most %d bytes", listen, maxUnixPath)
		}
		return endpoint{network: scheme, path: rest}, nil
	case "udp", "tcp":
		host, port, found := strings.Cut(rest, ":")
		if found && host == "" && !strings.Contains(port, ":") {
			rest = "[::]:" + port
		}
		addr, err := netip.ParseAddrPort(rest)
		if err != nil {
			return endpoint{}, fmt.Errorf("%q: write an address and a port, as in %s://127.0.0.1:5514 or %s://[::1]:5514; names are not looked up", listen, scheme, scheme)
		}
		return endpoint{network: scheme, addr: addr}, nil
	case "tls", "relp":
		return endpoint{}, fmt.Errorf("%q: %s is not supported yet: use tcp:// behind a tunnel or on a network you trust", listen, scheme)
	default:
		return endpoint{}, fmt.Errorf("%q: %s is not udp, tcp or unix", listen, scheme)
	}
}

// allows reports whether peer may send at all.
func (c *Config) allows(peer netip.Addr) bool {
	return len(c.Allow) == 0 || setting.Contains(c.Allow, peer)
}
