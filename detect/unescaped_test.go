package detect

import "testing"

// TestUnescaped says that a line which no server writes that escapes quotes and control characters tells of its log: clients of
// such a server (escape=none of nginx) write whole lines of it.
func TestUnescaped(t *testing.T) {
	r := load(t, Options{})
	form, err := ParseForm("combined")
	if err != nil {
		t.Fatal(err)
	}
	const front = `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] `
	for line, want := range map[string]bool{
		front + `"GET /.env HTTP/1.1" 404 9 "-" "a"b"`:                                                                        true,
		front + `"GET /.env HTTP/1.1" 404 9 "x"y" "-"`:                                                                        true,
		front + `"GET /.env HTTP/1.1" 404 9 "-" "-" "x"y"`:                                                                    true,
		front + "\"GET /.env HTTP/1.1\" 404 9 \"-\" \"a\tb\"":                                                                 true,
		front + "\"GET /.env HTTP/1.1\" 404 9 \"-\" \"\x1b[31m\"":                                                             true,
		front + `"GET /a"b HTTP/1.1" 404 9 "-" "-"`:                                                                           true,
		front + `"GET /.env?"x HTTP/1.1" 404 9 "-" "-"`:                                                                       true,
		`203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env" 404 9" [22/Nov/2026:10:00:01 +0000] "GET / HTTP/1.1" 401 -`: true, // and after it
		front + `"GET /.env HTTP/1.1" 404 9 "-" "x\" [22/Nov/2026:10:00:01 +0000] \""`:                                        false,
		front + `"GET /.env HTTP/1.1" 404 9 "-" "a\x22b"`:                                                                     false,
		front + `"GET /.env HTTP/1.1" 404 9 "-" "a\"b"`:                                                                       false,
		front + `"GET /.env HTTP/1.1" 404 9 "-" "a\\" "b"`:                                                                    false,
		front + `"GET /.env HTTP/1.1" 404 9 "-" "a" 0.001 "x=\"y\""`:                                                          false,
		front + `"GET /.env HTTP/1.1" 404 9 "-", "a", "-"`:                                                                    false,
		front + `"GET /.env HTTP/1.1" 404 9 "-" "-"`:                                                                          false,
		front + `"GET /.env HTTP/1.1" 404 9 "-" "` + "d\xc3\xa4n" + `"`:                                                       false, // escape=json leaves UTF-8 alone
		front + `"GET /.env HTTP/1.1"  404 9 "-" "-"`:                                                                         false,
		front + `"" 400 0 "-" "-"`:                                                                                            false,
		front + `"GET / HTTP/1.1`:                                                                                             false,
	} {
		for _, known := range []Known{{}, {Form: form}} {
			var f Finding
			if r.DetectKnown([]byte("nginx"), []byte(line), known, &f); f.Raw != want && known.Form == nil || f.Raw && !want {
				t.Errorf("%q, form %v: raw is %v", line, known.Form, f.Raw)
			}
			known.Cut = true
			if r.DetectKnown([]byte("nginx"), []byte(line), known, &f); f.Raw && !want {
				t.Errorf("%q, cut, form %v: raw is %v", line, known.Form, f.Raw)
			}
		}
	}
	for _, text := range []string{"log_format x escape=none '$remote_addr - $remote_user [$time_local] \"$request\" $status'"} {
		if _, err := ParseForm(text); err == nil {
			t.Errorf("%s is believed", text)
		}
	}
}
