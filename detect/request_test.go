package detect

import (
	"strings"
	"testing"

	"tattled/detect/weblog"
)

// TestPath says what path a finding tells of: as a server resolves it, without the query, and never more than its bound.
func TestPath(t *testing.T) {
	r := load(t, Options{})
	access := func(request string) string {
		return `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "` + request + `" 404 9 "-" "-"`
	}
	object := func(target string) string {
		return `{"remote_addr":"203.0.113.5","request_method":"GET","request_uri":"` + target + `","status":"404","http_user_agent":"x"}`
	}
	for _, c := range []struct{ program, line, want string }{
		{"nginx", access("GET /.env?a=/b HTTP/1.1"), "/.env"},
		{"nginx", access("GET /a/../%2eenv HTTP/1.1"), "/.env"},
		{"nginx", access("GET //blob//..//.env HTTP/1.1"), "/.env"},
		{"nginx", access("GET /Some/Page HTTP/1.1"), "/Some/Page"},
		{"nginx", access("GET http://www.example.org/.git/config HTTP/1.1"), "/.git/config"},
		{"nginx", access(`GET /\x22/.env HTTP/1.1`), `/"/.env`},
		{"nginx", access(`\x16\x03\x01\x02`), ""},
		{"nginx", access("GET /.env/" + strings.Repeat("x", 5000) + " HTTP/1.1"), ("/.env/" + strings.Repeat("x", 5000))[:weblog.MaxPath]},
		{"nginx", object("/.env?x"), "/.env"},
		{"nginx", object(`\/blob\/..\/.env?x=\/`), "/.env"},
		{"nginx", object(`/\u002eenv`), "/.env"},
		{"sshd", "Failed password for root from 203.0.113.5 port 22 ssh2", ""},
	} {
		var f Finding
		if v := r.Detect([]byte(c.program), []byte(c.line), &f); v != Matched || string(f.Path) != c.want {
			t.Errorf("%s: %v, the path is %q, not %q", c.line, v, f.Path, c.want)
		}
	}
}
