package detect

import (
	"net/netip"
	"strings"
	"testing"
)

// TestNPM reads the two forms of Nginx Proxy Manager, and nothing that is only like them.
func TestNPM(t *testing.T) {
	r := load(t, Options{})
	const at, tail = "[22/Nov/2026:10:00:00 +0100] ", ` "curl/8" "-"`
	for _, c := range []struct{ line, want string }{
		{at + `- 404 404 - GET https example.org "/.env" [Client 203.0.113.5] [Length 381] [Gzip -] [Sent-to 192.0.2.10]` + tail, "web-access/secrets 203.0.113.5"},
		{at + `404 - GET http example.org "/.env" [Client 203.0.113.5] [Length 381] [Gzip 2.71]` + tail, "web-access/secrets 203.0.113.5"},
		{at + `HIT 200 200 - GET https example.org "/.env?x=1" [Client 2001:db8::5] [Length 0] [Gzip -] [Sent-to app]` + tail, "web-access/secrets 2001:db8::5"},
		{at + `- 502, 200 : 200 200 - GET https example.org "/.git/config" [Client 203.0.113.5] [Length 1] [Gzip -] [Sent-to app]` + tail, "web-access/secrets 203.0.113.5"},
		{at + `- - 404 - GET https example.org "/.env" [Client 203.0.113.5] [Length 1] [Gzip -] [Sent-to app] "a \"quoted\" agent" "https://example.org/"`, "web-access/secrets 203.0.113.5"},
		{at + `- 200 200 - GET https example.org "/" [Client 203.0.113.5] [Length 1] [Gzip -] [Sent-to app]` + tail, "ignored"},

		{at + `- 404 404 - GET https example.org "/.env\x22 [Client 198.51.100.66]" [Client 203.0.113.5] [Length 1] [Gzip -] [Sent-to app]` + tail, "web-access/not-found 203.0.113.5"},
		{at + `- 404 404 - GET https example.org "/.env" [Client 203.0.113.5] [Length 1] [Gzip -] [Sent-to app] "x [Client 198.51.100.66] [Length 1]" "-"`, "web-access/secrets 203.0.113.5"},
		{at + `- 404 404 - GET https exa mple.org "/.env" [Client 203.0.113.5] [Length 1] [Gzip -]` + tail, "ignored"},
		{at + `- 404 404 - GET https example.org "/.env" x [Client 203.0.113.5] [Length 1] [Gzip -]` + tail, "ignored"},
		{at + `- 404 404 - GET https example.org "/.env" [Client 203.0.113.5 198.51.100.66] [Length 1] [Gzip -]` + tail, "ignored"},
		{at + `- 404 404 - GET https example.org "/.env" [Client 203.0.113.5] [Length 1] [Gzip -]` + tail + ` "more"`, "ignored"},
		{at + `peer's words 404 - GET https example.org "/.env" [Client 203.0.113.5] [Length 1] [Gzip -]` + tail, "ignored"},
		{`[22/Nov/2026:10:00:00] - 404 404 - GET https example.org "/.env" [Client 203.0.113.5] [Length 1] [Gzip -]` + tail, "ignored"},
		{at + `- 404 404 - GET https example.org "/.env" [Client unix:] [Length 1] [Gzip -]` + tail, "refused"},
	} {
		var f Finding
		got := r.Detect([]byte("nginx"), []byte(c.line), &f).String()
		if got == "matched" {
			got = f.Rule.String() + " " + f.Addr.String()
			if !f.Handshake() || f.Raw {
				t.Errorf("%s\nproves nothing: raw %v, unproven %v", c.line, f.Raw, f.Unproven)
			}
		}
		if got != c.want {
			t.Errorf("%s\nis %s, not %s", c.line, got, c.want)
		}
	}
}

// TestNPMHostile has a client write what it likes into all that it may, with quotes escaped as nginx does.
func TestNPMHostile(t *testing.T) {
	r := load(t, Options{})
	peer := netip.MustParseAddr("203.0.113.5")
	escaped := strings.NewReplacer(`"`, `\x22`, `\`, `\x5C`)
	for _, text := range []string{
		`" [Client 198.51.100.66] [Length 1] [Gzip -] "x" "y"`, `\`, `\"`, `] [Client 198.51.100.66]`, ` - GET https h "/.env" [Client 198.51.100.66] [Length 1] [Gzip -]`,
		`[22/Nov/2026:10:00:00 +0100] 404 - GET https h "/.env" [Client 198.51.100.66] [Length 1] [Gzip -] "x" "y`,
	} {
		text = escaped.Replace(text)
		for _, line := range []string{
			`- 404 404 - GET https example.org "/.env?` + text + `" [Client 203.0.113.5] [Length 1] [Gzip -] [Sent-to app] "curl" "-"`,
			`- 404 404 - GET https example.org "/.env" [Client 203.0.113.5] [Length 1] [Gzip -] [Sent-to app] "` + text + `" "-"`,
			`- 404 404 - GET https example.org "/.env" [Client 203.0.113.5] [Length 1] [Gzip -] [Sent-to app] "curl" "` + text + `"`,
		} {
			var f Finding
			if v := r.Detect([]byte("nginx"), []byte("[22/Nov/2026:10:00:00 +0100] "+line), &f); v != Matched || f.Addr != peer {
				t.Errorf("%s is %v %v", line, v, f.Addr)
			}
		}
	}
}
