package daemon

import (
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tattled/setting"
)

// The names of our units.
const (
	serviceUnit = "tattled.service"
	syslogUnit  = "tattled.socket"
	webUnit     = "tattled-web.socket"
)

// unitFiles reads systemd's unit files and credential stores below a folder, "" for the system's own and another in tests: check judges what the service will
// find, and only the files tell while it does not run.
type unitFiles struct{ root string }

// path returns where a file of the system is, never one relative to the working directory.
func (u unitFiles) path(name string) string { return filepath.Join("/", u.root, name) }

// unitSetting is one assignment of a unit file.
type unitSetting struct{ key, value string }

// read returns the assignments of a unit and its drop-ins in the order in which they take effect, nil if there is no such unit.
func (u unitFiles) read(unit string) []unitSetting {
	var text []byte
	dropIns := map[string]string{} // a file of an earlier folder hides those of its name
	for _, dir := range []string{"etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"} {
		dir = u.path(dir)
		if found, err := readBounded(filepath.Join(dir, unit)); err == nil && text == nil {
			text = append(found, '\n') // never nil
		}
		names, _ := filepath.Glob(filepath.Join(dir, unit+".d", "*.conf")) // its one error is a bad pattern
		for _, path := range names {
			if name := filepath.Base(path); dropIns[name] == "" {
				dropIns[name] = path
			}
		}
	}
	if text == nil {
		return nil
	}
	all := assignments(string(text))
	for _, name := range slices.Sorted(maps.Keys(dropIns)) {
		if found, err := readBounded(dropIns[name]); err == nil {
			all = append(all, assignments(string(found))...)
		}
	}
	return all
}

// assignments reads the text of a unit file. Sections are not told apart: no key that is asked for is in two of them.
func assignments(text string) []unitSetting {
	all := []unitSetting{} // never nil
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		key, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if found && !strings.HasPrefix(key, "#") && !strings.HasPrefix(key, ";") {
			all = append(all, unitSetting{strings.TrimSpace(key), strings.TrimSpace(value)})
		}
	}
	return all
}

// valuesOf returns what the keys were assigned; an empty value takes back what was before it.
func valuesOf(all []unitSetting, keys ...string) []unitSetting {
	var found []unitSetting
	for _, s := range all {
		switch {
		case !slices.Contains(keys, s.key):
		case s.value == "":
			found = nil
		default:
			found = append(found, s)
		}
	}
	return found
}

// holds reports whether a socket unit listens on at; network is "udp" or "tcp".
func (u unitFiles) holds(unit, network string, at netip.AddrPort) bool {
	for _, s := range valuesOf(u.read(unit), "ListenDatagram", "ListenStream") {
		text := s.value
		if _, err := strconv.ParseUint(text, 10, 16); err == nil {
			text = "[::]:" + text
		}
		held, err := netip.ParseAddrPort(text)
		if err == nil && held == at && (s.key == "ListenDatagram") == (network == "udp") {
			return true
		}
	}
	return false
}

// installed reports whether systemd knows our service.
func (u unitFiles) installed() bool { return u.read(serviceUnit) != nil }

// mayBind reports whether the service was given the capability to open any port.
func (u unitFiles) mayBind() bool {
	return slices.ContainsFunc(valuesOf(u.read(serviceUnit), "AmbientCapabilities"), func(s unitSetting) bool {
		return strings.Contains(s.value, "CAP_NET_BIND_SERVICE") && !strings.HasPrefix(s.value, "~")
	})
}

// writable reports whether the service may write below a folder, as far as its unit says.
func (u unitFiles) writable(dir string) bool {
	all := u.read(serviceUnit)
	strict := valuesOf(all, "ProtectSystem")
	if len(strict) == 0 || strict[len(strict)-1].value != "strict" {
		return true
	}
	folders := []string{stateFolder}
	for _, s := range valuesOf(all, "ReadWritePaths") {
		folders = append(folders, strings.Fields(s.value)...)
	}
	return slices.ContainsFunc(folders, func(f string) bool {
		f = strings.TrimLeft(f, "-+")
		return dir == f || strings.HasPrefix(dir, strings.TrimSuffix(f, "/")+"/")
	})
}

// identity returns the user that the service runs as, and the groups that it has beside that user's own.
func (u unitFiles) identity() (name string, groups []string) {
	all := u.read(serviceUnit)
	name, groups = "tattled", []string{"systemd-journal", "adm"}
	if users := valuesOf(all, "User"); len(users) > 0 {
		name = users[len(users)-1].value
	}
	if all != nil {
		groups = nil
		for _, s := range valuesOf(all, "SupplementaryGroups") {
			groups = append(groups, strings.Fields(s.value)...)
		}
	}
	return name, groups
}

// credential is what is known of a secret that systemd hands to the service.
type credential struct {
	secret setting.Secret // "" where it is there and cannot be read from here
	err    error
	unsure bool // the store cannot be looked into, so that nobody here knows whether there is one
}

// credential looks for the credential of that name which the service will have; found is false if there is none.
func (u unitFiles) credential(name, variable string) (c credential, found bool) {
	for _, s := range valuesOf(u.read(serviceUnit), "LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted") {
		id, value, _ := strings.Cut(s.value, ":")
		switch {
		case id != name:
		case strings.HasPrefix(s.key, "Set"):
			return credential{}, true
		default:
			if c, found := u.stored(name, variable, value, s.key == "LoadCredentialEncrypted"); found {
				return c, true
			}
		}
	}
	return credential{}, false
}

// stored looks for a credential where LoadCredential= says: at an absolute path, or by its name in the stores.
func (u unitFiles) stored(name, variable, place string, sealed bool) (c credential, found bool) {
	paths := []string{place}
	if !filepath.IsAbs(place) {
		paths = nil
		if place == "" {
			place = name
		}
		for _, store := range []string{"etc", "run", "usr/local/lib", "usr/lib"} {
			paths = append(paths, filepath.Join("/", store, "credstore", place), filepath.Join("/", store, "credstore.encrypted", place))
		}
		paths = append(paths, filepath.Join("/run/credentials/@system", place))
	}
	for _, path := range paths {
		real := u.path(path)
		switch info, err := os.Stat(real); {
		case errors.Is(err, fs.ErrPermission):
			c.unsure = true
		case err != nil:
		case sealed || !info.Mode().IsRegular() || strings.Contains(path, "/credstore.encrypted/"):
			return credential{}, true
		default:
			secret, err := setting.ReadCredential(real, name, variable)
			return credential{secret: secret, err: err, unsure: errors.Is(err, fs.ErrPermission)}, true
		}
	}
	return c, c.unsure
}
