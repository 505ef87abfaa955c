package weblog

import (
	"strings"
	"testing"
)

// TestParseForm says which forms are understood, and why the others are not.
func TestParseForm(t *testing.T) {
	for form, want := range map[string]string{
		"combined": "", "common": "", "vhost_combined": "",
		`%h %l %u %t "%r" %>s %b`: "",
		`LogFormat "%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" vhost_combined`: "",
		`%a %l %u %t \"%r\" %>s`: "",
		`$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for"`: "",
		"log_format main '$remote_addr - $remote_user [$time_local] \"$request\" '\n  '$status $body_bytes_sent';":                                 "",
		"log_format main escape=default '$remote_addr \"$request\" $status';":                                                                      "",
		`$host - $remote_addr - $remote_user [$time_local] "$request" $status`:                                                                     "",
		`$time_iso8601 ${remote_addr} $request_method "$request_uri" $status`:                                                                      "",
		`%h %m "%U%q" %s`: "",
		"log_format main escape=none '$remote_addr \"$request\" $status';": "escape=none",
		`%{X-Forwarded-For}i %l %u %t "%r" %>s %b`:                         "no column with the peer",
		`$http_x_forwarded_for [$time_local] "$request" $status`:           "no column with the peer",
		`%h %a %t "%r" %>s`:                           "several columns with the peer",
		`%h %u %t %>s`:                                "request",
		`$remote_addr "$request"`:                     "status",
		`$remote_addr$remote_user "$request" $status`: "nothing is between",
		`$http_host $http_x_a $remote_user $remote_addr "$request" $status`:    "without quotes",
		`$remote_addr "$request $http_x" $status`:                              "a quote must be around one variable",
		`{"remote_addr":"$remote_addr","request":"$request","status":$status}`: "JSON",
		`nonsense`: "no column with the peer", `%`: "not a variable", `$`: "not a variable", `%{x`: "brace", `%h "%r`: "quote",
		`log_format x '$remote_addr`: "not closed", `'$remote_addr' x`: "outside of quotes",
	} {
		_, err := ParseForm(form)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, not %q", form, err, want)
		}
	}
}
