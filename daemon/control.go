package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tattled/web"
)

// runtimeFolder is what systemd makes for the service while it runs (RuntimeDirectory=).
const runtimeFolder = "/run/tattled"

// control looks whether the control socket can be opened. The running daemon has it: the socket itself is not touched.
func (c *checking) control() {
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
