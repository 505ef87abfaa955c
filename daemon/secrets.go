package daemon

import (
	"fmt"
	"os"

	"tattled/report/abuseipdb"
	"tattled/setting"
)

// secret looks for a secret where the daemon finds it: the systemd credential, the file of the configuration, the variable. Check knows of credentials that
// systemd will hand to the service and did not hand to check.
func (c *Config) secret(name secretName, file setting.SecretFile) (setting.Secret, error) {
	if held, found := c.credentials[name.credential]; found && !held.unsure {
		return held.secret, held.err
	}
	return setting.LookUpSecret(name.credential, file, name.variable)
}

// unseen reports whether a secret is there that cannot be read from here, or may be there.
func (c *Config) unseen(name secretName) bool {
	held, found := c.credentials[name.credential]
	return found && (held.unsure || held.err == nil && held.secret.IsZero())
}

// credentials returns what systemd will hand to the service, by name; nil where it was handed to this process.
func (t *table) credentials(u unitFiles) map[string]credential {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		if _, err := os.ReadDir(dir); err == nil {
			return nil
		}
	}
	all := map[string]credential{}
	var names []secretName
	for _, p := range t.sources {
		names = append(names, p.secrets...)
	}
	for _, p := range t.destinations {
		names = append(names, p.secrets...)
	}
	for _, name := range append(names, feedToken()) {
		if held, found := u.credential(name.credential, name.variable); found {
			all[name.credential] = held
		}
	}
	return all
}

// keyWarning says what is unusual about the key, "" if nothing is. A key that cannot be read is a fault of openDestinations.
func keyWarning(cfg *Config) string {
	key, err := cfg.secret(abuseIPDBKey(), cfg.abuseIPDB().KeyFile)
	switch {
	case err != nil:
	case !key.IsZero():
		if odd := abuseipdb.OddKey(key); odd != "" {
			return "report.abuseipdb.key_file: " + odd
		}
	case !cfg.unseen(abuseIPDBKey()):
		return "report.abuseipdb.key_file: no AbuseIPDB key: tattled will run in dry-run mode, nothing is sent: put the key into " + keyFile(cfg)
	case cfg.credentials[abuseIPDBKey().credential].unsure:
		return fmt.Sprintf("report.abuseipdb.key_file: no AbuseIPDB key is known to this user, who cannot see whether systemd has one (credential %s): run check as root", abuseIPDBKey().credential)
	}
	return ""
}
