package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"tattled/setting"
)

// theKey looks like a real one. Nothing that is written about a configuration may hold a piece of it.
const theKey = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7aa"

// Wherever an operator puts the secret itself by mistake, no fault shows it.
func TestMisplacedSecretsAreNotShown(t *testing.T) {
	const password = "hunter2-in-the-clear"
	dir := t.TempDir()
	for name, text := range map[string]string{
		"key as path":          "report: {abuseipdb: {key_file: %s}}",
		"long key as path":     "report: {abuseipdb: {key_file: " + strings.Repeat("%[1]s", 5) + "}}",
		"key in a folder":      "report: {abuseipdb: {key_file: tattled/%s}}",
		"key after a slash":    "report: {abuseipdb: {key_file: /%s}}",
		"long after a slash":   "report: {abuseipdb: {key_file: /" + strings.Repeat("%[1]s", 5) + "}}",
		"base64 with slashes":  "report: {abuseipdb: {key_file: /5ec2/%s}}",
		"key as section":       "report: {abuseipdb: %s}",
		"key as list":          "report: {abuseipdb: {key_file: [%s]}}",
		"key as setting":       "report: {abuseipdb: {%s: true}}",
		"key as number":        "report: {abuseipdb: {rate: %s}}",
		"key as duration":      "report: {abuseipdb: {window: %s}}",
		"key as choice":        "report: {abuseipdb: {uncertain: %s}}",
		"key as flag":          "report: {abuseipdb: {report_unverified_tcp: %s}}",
		"key as url":           "report: {abuseipdb: {url: %s}}",
		"key in url":           "report: {abuseipdb: {url: \"https://api.example.org/api/v2/?key=%s\"}}",
		"key as user":          "report: {abuseipdb: {url: \"https://%s@api.example.org/%%zz\"}}",
		"key as anchor":        "report: {abuseipdb: {key_file: *%s}}",
		"key by another name":  "report: {abuseipdb: {key: %s}}",
		"key at the top":       "%s",
		"password as path":     "alerts: {mail: {from: a@example.org, to: b@example.org, username: u, password_file: " + password + "}}",
		"password as mail":     "alerts: {mail: " + password + "}",
		"password in server":   "alerts: {mail: {from: a@example.org, to: b@example.org, server: \"smtp://u:" + password + "@mail.example.org\"}}",
		"password by its name": "alerts: {mail: {from: a@example.org, to: b@example.org, password: " + password + "}}",
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(text, "%") {
				text = fmt.Sprintf(text, theKey)
			}
			path := filepath.Join(dir, "tattled.yaml")
			if err := os.WriteFile(path, []byte("sources: {journal: {}}\n"+text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			checked, err := Check(path, false)
			said := strings.Join(checked.Warnings, "\n")
			if err != nil {
				said += err.Error()
			}
			if said == "" {
				t.Error("nothing is said")
			}
			for _, secret := range []string{theKey[:20], "hunter2"} {
				if strings.Contains(said, secret) {
					t.Errorf("it shows: %s", said)
				}
			}
			if cfg, err := shippedParts().read(path); err == nil {
				if _, err := openDestinations(cfg, "test"); strings.Contains(err.Error(), theKey[:20]) {
					t.Errorf("it shows: %v", err)
				}
				if s := keyFile(cfg); strings.Contains(s, theKey[:20]) {
					t.Errorf("it shows: %s", s)
				}
			}
		})
	}
}

// A secret's file that holds more than the secret is a fault of check and of a start, which does not show it; white space and
// line ends around it are none.
func TestSecretFilesHoldTheSecretAlone(t *testing.T) {
	const password = "hunter2 in the clear"
	dir := t.TempDir()
	key, word := filepath.Join(dir, "key"), filepath.Join(dir, "password")
	config := filepath.Join(dir, "tattled.yaml")
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(config, fmt.Sprintf(`sources: {journal: {}}
report: {abuseipdb: {key_file: %s}}
alerts: {mail: {from: a@example.org, to: b@example.org, username: u, password_file: %s}}
`, key, word))
	try := func(setting, want string) {
		t.Helper()
		cfg, err := shippedParts().read(config)
		if err != nil {
			t.Fatal(err)
		}
		_, faults := openDestinations(cfg, "test") // which check, a start and a reload ask
		switch said := faults.Error(); {
		case want == "" && len(faults) > 0:
			t.Errorf("refused: %v", faults)
		case want != "" && (!strings.Contains(said, setting) || !strings.Contains(said, want)):
			t.Errorf("%s, want an error of %s with %q", said, setting, want)
		case strings.Contains(said, theKey[:20]) || strings.Contains(said, "hunter2"):
			t.Errorf("it shows: %s", said)
		}
	}
	put(word, password)
	for _, good := range []string{theKey, theKey + "\r\n", "\n" + theKey + " \t\n\n"} {
		put(key, good)
		try("", "")
	}
	for text, want := range map[string]string{
		`"` + theKey + `"`:                       "quotes",
		"'" + theKey + "'\n":                     "quotes",
		"\ufeff" + theKey:                        "byte order mark",
		"\xff\xfe5\x00e\x00c\x002\x00e\x007\x00": "plain text",
		"ABUSEIPDB_KEY=" + theKey:                "assigns",
		"export ABUSEIPDB_KEY=" + theKey:         "assigns",
		"KEY=" + theKey:                          "name",
		"Key: " + theKey:                         "space",
		"key:" + theKey:                          "name",
		theKey + "\n" + theKey + "\n":            "more than one line",
		"# the key\n" + theKey:                   "more than one line",
		theKey + " # mine":                       "space",
		strings.Repeat(theKey, 1000):             "larger",
		"\n \n":                                  "empty",
	} {
		put(key, text)
		try("report.abuseipdb.key_file", want)
	}
	put(key, theKey)
	for text, want := range map[string]string{
		"TATTLED_MAIL_PASSWORD=" + password: "assigns",
		"\ufeff" + password:                 "byte order mark",
		password + "\n" + password:          "more than one line",
	} {
		put(word, text)
		try("alerts.mail.password_file", want)
	}
	for _, good := range []string{`a="b"`, "x=y", `"quoted"`} { // a password may be anything
		put(word, good)
		try("", "")
	}
}

// Every setting that names the file of a secret has the type that refuses the secret itself.
func TestSecretFilesAreTyped(t *testing.T) {
	found := 0
	look := func(owner reflect.Type, f reflect.StructField, name string) {
		if !strings.HasSuffix(name, "_file") {
			return
		}
		public := map[string]bool{"ca_file": true, "client_ca_file": true, "cert_file": true, "config_file": true} // config_file holds hashes
		if isSecret := f.Type == reflect.TypeFor[setting.SecretFile](); !isSecret && !public[name] {
			t.Errorf("%s.%s (%s) is a %s: a file of a secret is a setting.SecretFile", owner, f.Name, name, f.Type)
		} else if isSecret {
			found++
		}
	}
	for _, section := range configTypes() {
		eachField(section, map[reflect.Type]bool{}, look)
	}
	if found < 2 {
		t.Errorf("%d settings were found, there are key_file and password_file at least", found)
	}
}

// eachField calls fn for every setting below t.
func eachField(t reflect.Type, seen map[reflect.Type]bool, fn func(owner reflect.Type, f reflect.StructField, name string)) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return
	}
	seen[t] = true
	for i := range t.NumField() {
		if name, inline := settingName(t.Field(i)); name != "" || inline {
			fn(t, t.Field(i), name)
			eachField(t.Field(i).Type, seen, fn)
		}
	}
}
