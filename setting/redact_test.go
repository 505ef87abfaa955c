package setting

import "testing"

func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"":          "",
		"plain ünï": "plain ünï",
		`"5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e7" is not a number`:            `"(36 characters, not shown)" is not a number`,
		"https://user:pass@host.example.org/x?y http://a@b c://d":           "https://(not shown)@host.example.org/x?y http://(not shown)@b c://d",
		"https://hooks.example.org/services/T00000000/B0a1b2c3d4e5f6g7h8i9": "https://hooks.example.org/services/T00000000/(20 characters, not shown)",
		// What operators must be able to read.
		"accept-unexpected-country":                     "accept-unexpected-country",
		"/var/lib/GeoIP/GeoLite2-City.mmdb":             "/var/lib/GeoIP/GeoLite2-City.mmdb",
		"tcp://127.0.0.1:5514":                          "tcp://127.0.0.1:5514",
		"2001:db8:1111:2222:3333:4444:5555:6666/128":    "2001:db8:1111:2222:3333:4444:5555:6666/128",
		"web1.example.org, 12345678901234567890 (bits)": "web1.example.org, 12345678901234567890 (bits)",
	} {
		if got := Redact(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
