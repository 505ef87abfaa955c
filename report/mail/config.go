package mail

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tattled/setting"
)

// The defaults and bounds of Config.
const (
	DefaultServer  = "localhost:25"
	DefaultMute    = 24 * time.Hour
	MinMute        = time.Minute
	MaxMute        = 90 * 24 * time.Hour
	DefaultRate    = 1.0
	MaxRate        = 100.0
	DefaultTimeout = 30 * time.Second
	MaxTimeout     = 5 * time.Minute
	maxRecipients  = 50
)

// The values of Config.TLS.
const (
	Opportunistic = "opportunistic"
	Mandatory     = "mandatory"
	Implicit      = "implicit"
	None          = "none"
)

// Config is the section alerts.mail.
type Config struct {
	// Server is the mail server that takes the alerts, as host:port. Default: localhost:25
	Server string `yaml:"server"`

	// From is the sender's address, like "tattled@example.org" or "tattled <tattled@example.org>".
	From string `yaml:"from"`

	// To are the addresses that get the alerts: 1 to 50. All of them see each other.
	To []string `yaml:"to"`

	// Mute is how long no further alert goes out about the same address and policy. 1m to 90d. Default: 24h
	Mute setting.Duration `yaml:"mute"`

	// Username is the account at the mail server. Leave it out where none is needed.
	Username string `yaml:"username"`

	// PasswordFile is the absolute path of a file that holds the account's password and nothing else, with mode 0600 or 0640. The password may
	// come from the systemd credential mail.password or from the environment variable TATTLED_MAIL_PASSWORD instead.
	PasswordFile setting.SecretFile `yaml:"password_file"`

	// TLS says how the connection is protected: "mandatory" (STARTTLS, or no mail), "implicit" (TLS from the first byte),
	// "opportunistic" (STARTTLS where the server offers it) or "none". The certificate is verified in each case. Default:
	// none to localhost or a loopback address, where there is nobody between and no certificate that would fit; implicit
	// to port 465; mandatory to all else.
	TLS string `yaml:"tls"`

	// CAFile is a file of PEM certificates of the authorities that vouch for the mail server. Default: those of the system
	CAFile string `yaml:"ca_file"`

	// Host is this machine's name as subject and HELO show it. Default: the system's host name
	Host string `yaml:"host"`

	// Rate is how many mails a second go out at most. Above 0 to 100. Default: 1
	Rate float64 `yaml:"rate"`

	// Timeout is how long the delivery of one mail may take. 1s to 5m. Default: 30s
	Timeout setting.Duration `yaml:"timeout"`
}

// WithDefaults returns c with every setting that was left out filled in.
func (c Config) WithDefaults() Config {
	if c.Server == "" {
		c.Server = DefaultServer
	}
	if c.Mute == 0 {
		c.Mute = setting.Duration(DefaultMute)
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	if c.Timeout == 0 {
		c.Timeout = setting.Duration(DefaultTimeout)
	}
	if c.TLS == "" {
		host, port, _ := net.SplitHostPort(c.Server)
		switch {
		case loopback(host):
			c.TLS = None
		case port == "465":
			c.TLS = Implicit
		default:
			c.TLS = Mandatory
		}
	}
	return c
}

// loopback tells whether host is this machine by its very text.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// Check reports every fault of c.
func (c Config) Check(report setting.FaultFunc) {
	c = c.WithDefaults()
	host, port, err := net.SplitHostPort(c.Server)
	if n, errPort := strconv.ParseUint(port, 10, 16); err != nil || host == "" || errPort != nil || n == 0 || !plain(host) {
		report("server", fmt.Sprintf("%q is not a host and port: write it like %s", c.Server, DefaultServer))
	}
	if _, err := address(c.From); err != nil {
		report("from", fmt.Sprintf("%v: write it like tattled@example.org", err))
	}
	if len(c.To) == 0 || len(c.To) > maxRecipients {
		report("to", fmt.Sprintf("%d addresses: write 1 to %d, like [admin@example.org]", len(c.To), maxRecipients))
	}
	for i, to := range c.To {
		if _, err := address(to); err != nil {
			report(fmt.Sprintf("to[%d]", i), fmt.Sprintf("%v: write it like admin@example.org", err))
		}
	}
	if m := c.Mute.D(); m < MinMute || m > MaxMute {
		report("mute", fmt.Sprintf("%v is out of bounds: write %v to %v", c.Mute, MinMute, setting.Duration(MaxMute)))
	}
	if !(c.Rate > 0 && c.Rate <= MaxRate) {
		report("rate", fmt.Sprintf("%v is out of bounds: write how many mails a second may go out, above 0 to %v", c.Rate, MaxRate))
	}
	if t := c.Timeout.D(); t < time.Second || t > MaxTimeout {
		report("timeout", fmt.Sprintf("%v is out of bounds: write 1s to %v", c.Timeout, MaxTimeout))
	}
	if c.Host != "" && hostName(c.Host) != c.Host {
		report("host", fmt.Sprintf("%q is not a host name: write letters, digits, dots and hyphens, like web1.example.org", c.Host))
	}
	c.checkSecurity(host, report)
}

// checkSecurity reports what would show the password to the network.
func (c Config) checkSecurity(host string, report setting.FaultFunc) {
	switch c.TLS {
	case Mandatory, Implicit:
	case Opportunistic, None:
		if c.Username != "" && !loopback(host) {
			report("tls", fmt.Sprintf("with %q the password could go over the network in the clear: write mandatory or implicit", c.TLS))
		}
	default:
		report("tls", fmt.Sprintf("%q is none of %s, %s, %s and %s", c.TLS, Mandatory, Implicit, Opportunistic, None))
	}
	if !plain(c.Username) {
		report("username", "it holds a control character: take it out")
	}
	if c.PasswordFile != "" && c.Username == "" {
		report("password_file", "there is a password but no username: add it, or take the password out")
	}
}

// address parses a mail address and refuses what would not survive the way to the server.
func address(text string) (*mail.Address, error) {
	a, err := mail.ParseAddress(text)
	if err != nil || !plain(a.Address) || !plain(a.Name) {
		return nil, fmt.Errorf("%q is not a mail address", text)
	}
	for _, c := range []byte(a.Address) {
		if c > '~' {
			return nil, fmt.Errorf("%q is not ASCII, which not every mail server accepts", text)
		}
	}
	return a, nil
}

// plain tells whether text has no control character.
func plain(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}
