package web

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"

	"tattled/setting"
)

// defaultListen is where the page is unless the configuration says otherwise.
const defaultListen = "127.0.0.1:9817"

// Config is the web section.
type Config struct {
	// Listen is the TCP address of the page, the API and the metrics, as address:port; without an address, all of the
	// machine's. Default: 127.0.0.1:9817, which this machine alone can reach (ssh -L 9817:localhost:9817 brings it to yours).
	Listen string `yaml:"listen"`
	// ConfigFile is the path of a web configuration file of the Prometheus exporter-toolkit, for TLS (tls_server_config), basic
	// authentication (basic_auth_users) and rate limits (rate_limit). Changes in it take effect without a restart. Default:
	// none, plain HTTP for everyone who can connect.
	ConfigFile string `yaml:"config_file"`
	// AllowUnauthenticated lets Listen be beyond loopback although nobody is asked who they are. The page shows addresses, user
	// names and log lines. Default: false.
	AllowUnauthenticated bool `yaml:"allow_unauthenticated"`
	// Hosts are the names by which clients may call this server, without port, beside localhost and the addresses that it
	// listens on; name here what a reverse proxy or Prometheus uses. Others are refused, so that no foreign web page can reach
	// in through a name of its own (DNS rebinding). Default: none.
	Hosts []string `yaml:"hosts"`
	// FeedTokenFile has the token that clients of /api/v1/feed must send, of 16 bytes or more. Without one there is a feed for this machine
	// alone. Default: none.
	FeedTokenFile setting.SecretFile `yaml:"feed_token_file"`
}

// Check reports every fault. It reads ConfigFile.
func (c *Config) Check(report setting.FaultFunc) {
	local, err := localListen(c.listen())
	if err != nil {
		report("listen", err.Error())
	}
	if c.ConfigFile != "" {
		if err := toolkit.Validate(c.ConfigFile); err != nil {
			report("config_file", fmt.Sprintf("%v: fix it, or leave config_file out for plain HTTP", err))
			return
		}
	}
	if err == nil {
		if err := c.exposure(local); err != nil {
			report("listen", err.Error())
		}
	}
	for i, host := range c.Hosts {
		if _, err := netip.ParseAddr(host); err != nil && !isHostName(host) {
			report(fmt.Sprintf("hosts[%d]", i), fmt.Sprintf("%q is not a host name: write it without scheme, port or wildcard, like monitor.example.org", host))
		}
	}
}

func (c *Config) listen() string {
	if c.Listen == "" {
		return defaultListen
	}
	return c.Listen
}

// Address returns where to listen as numbers: localhost is 127.0.0.1, no address is all of the machine's.
func (c *Config) Address() (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(c.listen())
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch host {
	case "localhost":
		host = "127.0.0.1"
	case "":
		host = "::"
	}
	return netip.ParseAddrPort(net.JoinHostPort(host, port))
}

// networkOf returns the network of an address to listen on: an IPv4 address, 0.0.0.0 too, is IPv4 alone.
func networkOf(address string) string {
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// localListen reports whether listen, in the form address:port, is on loopback.
func localListen(listen string) (bool, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, fmt.Errorf("%q is not of the form address:port: write it like %s or [::1]:9817", listen, defaultListen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, fmt.Errorf("%q is not a port: write a number from 1 to 65535", port)
	}
	if host == "localhost" {
		return true, nil
	}
	if host == "" {
		return false, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false, fmt.Errorf("%q is not an IP address: write the address of one of this machine's interfaces", host)
	}
	return addr.Unmap().IsLoopback(), nil
}

// isLoopback reports whether only this machine can reach addr.
func isLoopback(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	default:
		return false
	}
}

// exposure refuses to show the page to strangers, unless they are asked who they are or the operator wants it so.
func (c *Config) exposure(local bool) error {
	if local || c.AllowUnauthenticated {
		return nil
	}
	asks, err := asksWho(c.ConfigFile)
	if err != nil || asks {
		return err
	}
	return errors.New("others than this machine could read the page and nobody is asked who they are: " +
		"listen on " + defaultListen + ", or set config_file with basic_auth_users or client_auth_type: RequireAndVerifyClientCert, " +
		"or set allow_unauthenticated: true")
}

// toolkitFile is what of the toolkit's file matters here.
type toolkitFile struct {
	Users map[string]string `yaml:"basic_auth_users"`
	TLS   struct {
		Cert       string `yaml:"cert"`
		CertFile   string `yaml:"cert_file"`
		ClientAuth string `yaml:"client_auth_type"`
	} `yaml:"tls_server_config"`
}

// readToolkit reads the toolkit's file at path; without one it is empty.
func readToolkit(path string) (file toolkitFile, err error) {
	if path == "" {
		return file, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return file, fmt.Errorf("read web.config_file: %w", err)
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return file, fmt.Errorf("read web.config_file %s: %w", path, err)
	}
	return file, nil
}

// asksWho reports whether the toolkit's file at path makes clients prove who they are.
func asksWho(path string) (bool, error) {
	file, err := readToolkit(path)
	return len(file.Users) > 0 || file.TLS.ClientAuth == "RequireAndVerifyClientCert", err
}

// encrypts reports whether the page is served by TLS.
func (c *Config) encrypts() bool {
	file, err := readToolkit(c.ConfigFile)
	return err == nil && (file.TLS.Cert != "" || file.TLS.CertFile != "")
}

// hosts returns the names by which clients may call a server that listens at addr, in the form of hostOf.
func (c *Config) hosts(addr net.Addr) map[string]bool {
	hosts := map[string]bool{"localhost": true}
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsUnspecified() {
		hosts[tcp.AddrPort().Addr().Unmap().WithZone("").String()] = true
	}
	for _, host := range c.Hosts {
		hosts[hostOf(host)] = true
	}
	return hosts
}

// isHostName reports whether s has the form of a DNS name.
func isHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}
