package daemon

import (
	"fmt"
	"os"

	"tattled/report/abuseipdb"
	"tattled/setting"
)

// secret looks for a secret where the daemon finds it: the credential, the file, the variable. Check knows of credentials that
// systemd will hand to the service and did not hand to check.
func (c *Config) secret(name string, file setting.SecretFile, variable string) (setting.Secret, error) {
	if held, found := c.credentials[name]; found && !held.unsure {
		return held.secret, held.err
	}
	return setting.LookUpSecret(name, file, variable)
}

// unseen reports whether a secret is there that cannot be read from here, or may be there.
func (c *Config) unseen(name string) bool {
	held, found := c.credentials[name]
	return found && (held.unsure || held.err == nil && held.secret.IsZero())
}

// credentials returns what systemd will hand to the service, by name; nil where it was handed to this process.
func credentials(u unitFiles) map[string]credential {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		if _, err := os.ReadDir(dir); err == nil {
			return nil
		}
	}
	all := map[string]credential{}
	for name, variable := range map[string]string{keyCredential: keyVariable, passwordCredential: passwordVariable} {
		if held, found := u.credential(name, variable); found {
			all[name] = held
		}
	}
	return all
}

// keyWarning says what is unusual about the key, "" if nothing is. A key that cannot be read is a fault of senderFaults.
func keyWarning(cfg *Config) string {
	key, err := cfg.secret(keyCredential, cfg.Report.AbuseIPDB.KeyFile, keyVariable)
	switch {
	case err != nil:
	case !key.IsZero():
		if odd := abuseipdb.OddKey(key); odd != "" {
			return "report.abuseipdb.key_file: " + odd
		}
	case !cfg.unseen(keyCredential):
		return "report.abuseipdb.key_file: no AbuseIPDB key: tattled will run in dry-run mode, nothing is sent: put the key into " + keyFile(cfg)
	case cfg.credentials[keyCredential].unsure:
		return fmt.Sprintf("report.abuseipdb.key_file: no AbuseIPDB key is known to this user, who cannot see whether systemd has one (credential %s): run check as root", keyCredential)
	}
	return ""
}
