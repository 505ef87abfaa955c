package abuseipdb_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"tattled/report/abuseipdb"
	"tattled/setting"
)

// The key goes over https, or to this machine; no name is resolved to find out.
func TestURL(t *testing.T) {
	good := []string{"", "https://api.abuseipdb.com/api/v2/", "https://api.abuseipdb.com/api/v2", "http://127.0.0.1:8089/api/v2/",
		"http://127.9.9.9/", "http://[::1]:8089/api/v2/", "http://localhost:8089/api/v2/", "https://10.0.0.1/"}
	bad := []string{"http://api.abuseipdb.com/api/v2/", "http://127.0.0.1.example.org/", "http://localhost.example.org/", "http://10.0.0.1/",
		"http://0.0.0.0/", "http://127.1/", "http://2130706433/", "http://[::1%25lo]/", "http://[::2]/", "ftp://localhost/", "localhost:8089",
		"//localhost/", "/api/v2/", "https://", "https://user:secret@api.abuseipdb.com/", "https://api.abuseipdb.com/?key=secret",
		"https://api.abuseipdb.com/#x", "https://api.abuseipdb.com/?", "http://localhost@evil.example/", "https:api.abuseipdb.com", "http://127.0.0.1:port/",
		"http://LOCALHOST/", "\x00"}
	for _, url := range good {
		if faults := check(abuseipdb.Config{URL: url}); len(faults) != 0 {
			t.Errorf("%q is refused: %v", url, faults)
		}
	}
	for _, url := range bad {
		faults := check(abuseipdb.Config{URL: url})
		if len(faults) != 1 || !strings.HasPrefix(faults[0], "url: ") {
			t.Errorf("%q: %v", url, faults)
		}
		if strings.Contains(strings.Join(faults, ""), "secret@") {
			t.Errorf("the fault shows the password: %v", faults)
		}
		if _, err := abuseipdb.New(abuseipdb.Config{URL: url}, setting.Secret{}, "", nil); err == nil {
			t.Errorf("New takes %q", url)
		}
	}
}

// All faults are told at once, each with its setting; the bounds themselves are allowed.
func TestCheckConfig(t *testing.T) {
	faults := check(abuseipdb.Config{URL: "x", Window: setting.Duration(15 * time.Minute), Rate: -1, Timeout: setting.Duration(time.Hour)})
	if len(faults) != 4 {
		t.Errorf("got %q", faults)
	}
	for _, rate := range []float64{math.NaN(), math.Inf(1), 101} {
		if len(check(abuseipdb.Config{Rate: rate})) != 1 {
			t.Errorf("rate %v is taken", rate)
		}
	}
	for _, c := range []abuseipdb.Config{
		{Window: setting.Duration(abuseipdb.MinWindow), Timeout: setting.Duration(time.Second), Rate: 0.001},
		{Window: setting.Duration(abuseipdb.MaxWindow), Timeout: setting.Duration(abuseipdb.MaxTimeout), Rate: abuseipdb.MaxRate},
	} {
		if faults := check(c); len(faults) != 0 {
			t.Errorf("%+v: %v", c, faults)
		}
	}
}

func check(c abuseipdb.Config) []string {
	var faults []string
	c.Check(func(path, problem string) { faults = append(faults, path+": "+problem) })
	return faults
}

// A key of another form is taken, with a word about it that does not show it.
func TestOddKey(t *testing.T) {
	for text, odd := range map[string]bool{"": false, key: false, key[1:]: true, strings.ToUpper(key): true} {
		word := abuseipdb.OddKey(setting.NewSecret(text))
		if odd != (word != "") || text != "" && strings.Contains(word, text) {
			t.Errorf("%q: %q", text, word)
		}
	}
}
