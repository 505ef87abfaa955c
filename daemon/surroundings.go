package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tattled/geoip"
	"tattled/store"
)

// stateFolder is what systemd makes at the start of the service (StateDirectory=), and may be missing before.
const stateFolder = "/var/lib/tattled"

// fault notes a fault of a setting, unless the setting is at fault already.
func (c *checking) fault(setting, problem string) {
	for _, f := range c.faults {
		if f.Setting == setting {
			return
		}
	}
	c.faults = append(c.faults, c.cfg.origin.fault(setting, problem))
}

// places opens the GeoIP databases. One that is not there may come, as with a first run of geoipupdate; the daemon goes on without
// one that is bad, and so does not say so at once.
func (c *checking) places() {
	g := c.cfg.GeoIP
	for _, db := range []struct {
		setting, path string
		alone         geoip.Config
	}{
		{"geoip.city", g.City, geoip.Config{City: g.City}},
		{"geoip.country", g.Country, geoip.Config{Country: g.Country}},
		{"geoip.asn", g.ASN, geoip.Config{ASN: g.ASN}},
	} {
		switch err := geoip.New(db.alone).Load(); {
		case err == nil:
		case errors.Is(err, fs.ErrNotExist):
			c.warnings = append(c.warnings, fmt.Sprintf("%s: %v: places stay unknown until it is there", db.setting, err))
		default:
			c.fault(db.setting, fmt.Sprintf("%v: name a MaxMind DB file of that type, which the service may read", err))
		}
	}
}

// store looks whether the state file can be opened, which the running daemon has.
func (c *checking) store() {
	cfg := store.Config{Path: c.cfg.Store.Path}
	cfg.Defaults()
	dir := filepath.Dir(cfg.Path)
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && dir == stateFolder:
		c.warnings = append(c.warnings, fmt.Sprintf("store.path: the folder %s does not exist: the start of the service makes it; for `tattled run` by hand, make it yourself, or set store.path", dir))
		return
	case errors.Is(err, fs.ErrNotExist):
		c.fault("store.path", fmt.Sprintf("its folder %s does not exist: %s, or set store.path", dir, c.makeFolder(dir)))
		return
	case err != nil:
		c.fault("store.path", fmt.Sprintf("its folder cannot be used: %v: set store.path to a file in a folder of the service's own", err))
		return
	case !info.IsDir():
		c.fault("store.path", fmt.Sprintf("%s is not a folder: set store.path to a file in one", dir))
		return
	}
	if c.units.installed() && !c.units.writable(dir) {
		c.warnings = append(c.warnings, fmt.Sprintf("store.path: the service sees %s read-only (ProtectSystem=strict): `systemctl edit tattled`, add [Service] and ReadWritePaths=%[1]s", dir))
	}
	if err := access(dir, unix.W_OK|unix.X_OK); err != nil {
		c.fault("store.path", fmt.Sprintf("%s cannot write to its folder: %v: %s, or set store.path", c.who(dir), err, c.give(dir)))
	}
	if info, err := os.Stat(cfg.Path); err == nil && !info.Mode().IsRegular() {
		c.fault("store.path", cfg.Path+" is not a regular file: set store.path to one")
	}
	for _, path := range []string{cfg.Path, cfg.Path + ".lock"} {
		if err := access(path, unix.R_OK|unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.fault("store.path", fmt.Sprintf("%s cannot write to it: %v: %s", c.who(path), err, c.give(path)))
		}
	}
}

// runner returns the account that runs tattled with a state file of that path: the service's, or "" for whoever runs it by hand, where
// there is no service on this machine or the path is relative, which means nothing to a service.
func (c *checking) runner(path string) string {
	service, found := serviceAccount(c.units)
	if !found || !filepath.IsAbs(path) {
		return ""
	}
	return service.name
}

func (c *checking) who(path string) string {
	if c.runner(path) == "" {
		return "this user"
	}
	return "the service"
}

// makeFolder returns the command that makes a folder for the state file.
func (c *checking) makeFolder(dir string) string {
	if name := c.runner(dir); name != "" {
		return fmt.Sprintf("install -d -o %s -m 0700 %s", name, dir)
	}
	return "make it (mkdir -p -m 0700 " + dir + ") as the user who runs tattled"
}

// give returns what lets tattled write to a file or a folder.
func (c *checking) give(path string) string {
	if name := c.runner(path); name != "" {
		return fmt.Sprintf("chown %s: %s", name, path)
	}
	return "run tattled as a user who may"
}

// access asks the kernel whether the thread may do that to a file.
func access(path string, mode uint32) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}

// ports looks for addresses to listen on that the service cannot open, because it has no capability, and systemd does not hold.
func (c *checking) ports() {
	for _, s := range c.cfg.sources() {
		if s.listen.IsValid() {
			c.port(s.at+".listen", syslogUnit, s.network, s.listen)
		}
	}
	if at, err := c.cfg.Web.Address(); err == nil {
		c.port("web.listen", webUnit, "tcp", at)
	}
}

func (c *checking) port(setting, unit, network string, at netip.AddrPort) {
	if at.Port() == 0 || at.Port() >= firstFreePort() || c.units.holds(unit, network, at) || c.units.mayBind() {
		return
	}
	key := map[string]string{"udp": "ListenDatagram", "tcp": "ListenStream"}[network]
	address := at.String()
	if at.Addr() == netip.IPv6Unspecified() {
		address = strconv.Itoa(int(at.Port()))
	}
	problem := fmt.Sprintf("only root can open port %d, which the service is not, and %s does not hold it: `systemctl edit %[2]s`, add [Socket] and %s=%s, then `systemctl restart %[2]s`",
		at.Port(), unit, key, address)
	if !c.units.installed() && os.Geteuid() == 0 { // a container, where root runs it
		c.warnings = append(c.warnings, setting+": "+problem+". `tattled run` as root can")
		return
	}
	c.fault(setting, problem)
}

// firstFreePort returns the lowest port that anybody may open.
func firstFreePort() uint16 {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		return 1024
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 16)
	if err != nil {
		return 1024
	}
	return uint16(n)
}
