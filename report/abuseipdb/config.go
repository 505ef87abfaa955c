package abuseipdb

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"tattled/setting"
	"tattled/store"
)

// The defaults and bounds of Config.
const (
	DefaultURL     = "https://api.abuseipdb.com/api/v2/"
	DefaultWindow  = 24 * time.Hour
	MinWindow      = 15*time.Minute + 30*time.Second
	MaxWindow      = 30 * 24 * time.Hour
	DefaultRate    = 20.0
	MaxRate        = 100.0
	DefaultTimeout = 10 * time.Second
	DefaultChecks  = 1000
	MaxChecks      = 1_000_000
	MaxTimeout     = time.Minute
)

// Config is the section report.abuseipdb.
type Config struct {
	// URL is where the API is. It must be https; http is taken for a loopback address or localhost only, for trying things
	// out with abuseipdb-double ("http://127.0.0.1:8089/api/v2/"). Default: https://api.abuseipdb.com/api/v2/
	URL string `yaml:"url"`

	// KeyFile is the absolute path of a file that holds the API key and nothing else, with mode 0600 or 0640. The key may come from the systemd
	// credential abuseipdb.key or from the environment variable ABUSEIPDB_KEY instead. Without any key nothing is sent:
	// everything else is done, and the page says that it is a dry run.
	KeyFile setting.SecretFile `yaml:"key_file"`

	// Window is how long an address is left alone after it was reported. AbuseIPDB refuses the same address within 15
	// minutes and prefers about one report a day. 15m30s to 30d. Default: 24h
	Window setting.Duration `yaml:"window"`

	// Rate is how many requests a second are made at most. Above 0 to 100. Default: 20
	Rate float64 `yaml:"rate"`

	// Timeout is how long one request may take, from the connection to the end of the answer; a bulk file may take six times as
	// long. 1s to 60s. Default: 10s
	Timeout setting.Duration `yaml:"timeout"`

	// Checks is how many scores of addresses are asked for in a day of UTC at most, for policies with a reputation: beyond it, an alert
	// goes out without a score. 1 to 1000000; the free plan has 1000 checks a day. Default: 1000
	Checks int `yaml:"checks"`

	// Uncertain says what becomes of a report that was under way when the machine died more than 15 minutes ago, so that
	// nobody knows whether it arrived: "resend" (AbuseIPDB merges the same report within a day) or "drop".
	// Default: resend
	Uncertain store.Uncertain `yaml:"uncertain"`

	// ReportUnverifiedTCP lets firewall blocks of TCP be reported, although no handshake proves that the source address is
	// not forged. AbuseIPDB's reporting policy forbids that unless you know that the addresses are genuine; the account
	// may be suspended for it. Default: false
	ReportUnverifiedTCP bool `yaml:"report_unverified_tcp"`

	// ReportInfrastructure lets addresses be reported that do the work of many: edges of content delivery networks, public
	// resolvers and crawlers, by the lists that come with tattled. Whoever shares them suffers for it. Default: false
	ReportInfrastructure bool `yaml:"report_infrastructure"`
}

// WithDefaults returns c with every setting that was left out filled in.
func (c Config) WithDefaults() Config {
	if c.URL == "" {
		c.URL = DefaultURL
	}
	if c.Window == 0 {
		c.Window = setting.Duration(DefaultWindow)
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	if c.Checks == 0 {
		c.Checks = DefaultChecks
	}
	if c.Timeout == 0 {
		c.Timeout = setting.Duration(DefaultTimeout)
	}
	return c
}

// Check reports every fault of c.
func (c Config) Check(report setting.FaultFunc) {
	c = c.WithDefaults()
	if _, err := base(c.URL); err != nil {
		report("url", err.Error())
	}
	if w := c.Window.D(); w < MinWindow || w > MaxWindow {
		report("window", fmt.Sprintf("%v is out of bounds: write %v to %v (AbuseIPDB refuses the same address within 15 minutes)",
			c.Window, MinWindow, setting.Duration(MaxWindow)))
	}
	if !(c.Rate > 0 && c.Rate <= MaxRate) {
		report("rate", fmt.Sprintf("%v is out of bounds: write how many requests a second may be made, above 0 to %v", c.Rate, MaxRate))
	}
	if c.Checks < 1 || c.Checks > MaxChecks {
		report("checks", fmt.Sprintf("%d is out of bounds: write how many scores may be asked for in a day, 1 to %d", c.Checks, MaxChecks))
	}
	if t := c.Timeout.D(); t < time.Second || t > MaxTimeout {
		report("timeout", fmt.Sprintf("%v is out of bounds: write 1s to %v", c.Timeout, MaxTimeout))
	}
}

// base parses the API's address and refuses one that would show the key to the network or to a log.
func base(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is not a URL: write it like %s", text, DefaultURL)
	case u.Hostname() == "" || u.Opaque != "":
		return nil, fmt.Errorf("%q names no host: write it like %s", text, DefaultURL)
	case u.User != nil:
		return nil, fmt.Errorf("the URL holds a user name or password: take it out, the key belongs into key_file")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q has something after its path: write it like %s", text, DefaultURL)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%q would send the key in the clear: write https, http is for a loopback address only", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%q is neither https nor http: write it like %s", text, DefaultURL)
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	switch last := path.Base(u.Path); last {
	case "report", "bulk-report", "check", "check-block", "reports", "blacklist", "clear-address":
		return nil, fmt.Errorf("%q ends in the endpoint %s, which is added to it: leave that out, like %s", text, last, DefaultURL)
	}
	return u, nil
}

// loopback tells whether host is this machine by its very text: a literal loopback address, or localhost. Nothing is
// resolved, so that no name server has a say.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}
