package attack

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
)

// snakeoil is Debian's self-signed certificate.
const (
	snakeoilCert = "/etc/ssl/certs/ssl-cert-snakeoil.pem"
	snakeoilKey  = "/etc/ssl/private/ssl-cert-snakeoil.key"
)

// request sends one request and reads the answer.
func (c client) request(port int, line string, headers ...string) error {
	var b strings.Builder
	b.WriteString(line + "\r\n")
	for _, h := range append(headers, "Connection: close") {
		b.WriteString(h + "\r\n")
	}
	conn, err := c.dial(port)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, b.String()+"\r\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// hello opens TLS with a server name.
func (c client) hello(port int, name string) error {
	conn, err := c.dial(port)
	if err != nil {
		return err
	}
	defer conn.Close()
	return tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
}

// both runs f with the value as it is, and escaped as a URL's.
func both(f func(w *world, c client, v string) error) func(w *world, c client, v string) error {
	return func(w *world, c client, v string) error { return errors.Join(f(w, c, v), f(w, c, url.PathEscape(v))) }
}

func basic(user, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// webFields are the fields of HTTP, for a server on a port with /private/ behind a password and /cgi-bin/x a program that
// writes the query to its standard error.
func webFields(port int) []field {
	get := func(c client, line string, headers ...string) error { return c.request(port, line, headers...) }
	const host = "Host: www.example.org"
	return []field{
		{"path", both(func(_ *world, c client, v string) error { return get(c, "GET /"+v+" HTTP/1.1", host) })},
		{"path that is attacked", both(func(_ *world, c client, v string) error { return get(c, "GET /.env?"+v+" HTTP/1.1", host) })},
		{"path below a file", both(func(_ *world, c client, v string) error { return get(c, "GET /"+v+"/wp-config.php.bak HTTP/1.0") })},
		{"target", both(func(_ *world, c client, v string) error { return get(c, "GET "+v+" HTTP/1.1", host) })},
		{"URL with a user", both(func(_ *world, c client, v string) error {
			return get(c, "GET http://"+v+":x@www.example.org/.env HTTP/1.1", host)
		})},
		{"method", both(func(_ *world, c client, v string) error { return get(c, v+" /.env HTTP/1.1", host) })},
		{"protocol", both(func(_ *world, c client, v string) error { return get(c, "GET /.env "+v, host) })},
		{"Host", both(func(_ *world, c client, v string) error { return get(c, "GET /.env HTTP/1.1", "Host: "+v) })},
		{"User-Agent", func(_ *world, c client, v string) error {
			return get(c, "GET /.env HTTP/1.1", host, "User-Agent: "+v)
		}},
		{"Referer", func(_ *world, c client, v string) error { return get(c, "GET /.env HTTP/1.1", host, "Referer: "+v) }},
		{"Basic user", func(_ *world, c client, v string) error {
			return get(c, "GET /private/.env HTTP/1.1", host, basic(v, "x"))
		}},
		{"Basic password", func(_ *world, c client, v string) error {
			return get(c, "GET /private/.env HTTP/1.1", host, basic("dan", v))
		}},
		{"X-Forwarded-For", func(_ *world, c client, v string) error {
			return get(c, "GET /.env HTTP/1.1", host, "X-Forwarded-For: "+v, "X-Real-IP: "+v, "Forwarded: for="+v)
		}},
		{"Cookie", func(_ *world, c client, v string) error { return get(c, "GET /.env HTTP/1.1", host, "Cookie: a="+v) }},
		{"a header's name", func(_ *world, c client, v string) error { return get(c, "GET /.env HTTP/1.1", host, v+": x") }},
		{"no HTTP", func(_ *world, c client, v string) error { return c.raw(port, v+"\r\n\r\n") }},
		{"query of a program", func(_ *world, c client, v string) error {
			return get(c, "GET /cgi-bin/x?"+url.PathEscape(v)+" HTTP/1.1", host, "User-Agent: "+v)
		}},
		{"TLS server name", func(_ *world, c client, v string) error { return c.hello(443, v) }},
	}
}

// plainWeb looks for secrets, as scanners do.
func plainWeb(port int) func(*world, client) {
	return func(_ *world, c client) {
		for _, path := range []string{"/.env", "/.git/config", "/.aws/credentials", "/wp-config.php.bak", "/.ssh/id_rsa", "/.htpasswd", "/.git/HEAD", "/.vscode/sftp.json"} {
			for _, in := range []string{"", "/a", "/b"} {
				_ = c.request(port, "GET "+in+path+" HTTP/1.1", "Host: www.example.org", "User-Agent: curl/7.88.1")
			}
		}
	}
}

// program is a CGI program that writes the query, decoded, and a header to its standard error.
func program(path string) {
	put(path, `#!/bin/sh
printf '%b\n' "$(printf %s "$QUERY_STRING" | sed 's/%/\\x/g')" >&2
printf '%s\n' "$HTTP_USER_AGENT" >&2
printf 'Content-Type: text/plain\r\n\r\nok\n'
`)
	must("chmod", "755", path)
	put("/etc/htpasswd", "dan:$apr1$abcdefgh$irsH8OkJyHTkYGXYh0e9z0\n")
}

func webDaemons() []daemon { return []daemon{nginx(), apache(), lighttpd(), haproxy(), squid()} }

func nginx() daemon {
	return daemon{
		name: "nginx", pkg: "nginx", rules: []string{"web-access", "nginx"},
		files: []logFile{{"/var/log/nginx/access.log", "nginx"}, {"/var/log/nginx/error.log", "nginx"}},
		start: func(w *world) {
			program("/usr/lib/cgi-bin/x")
			must("rm", "-f", "/etc/nginx/sites-enabled/default")
			put("/etc/nginx/conf.d/attack.conf", `
server {
	listen 80 default_server;
	listen 443 ssl default_server;
	ssl_certificate `+snakeoilCert+`;
	ssl_certificate_key `+snakeoilKey+`;
	error_log /var/log/nginx/error.log info;
	root /var/www/html;
	location /private/ { auth_basic x; auth_basic_user_file /etc/htpasswd; }
}
`)
			w.service("nginx", "/usr/sbin/nginx", "-g", "daemon off;")
			listening(80)
		},
		fields: webFields(80), plain: plainWeb(80),
	}
}

func apache() daemon {
	return daemon{
		name: "apache", pkg: "apache2", rules: []string{"web-access", "apache"},
		files: []logFile{{"/var/log/apache2/access.log", "apache2"}, {"/var/log/apache2/error.log", "apache2"}},
		start: func(w *world) {
			program("/usr/lib/cgi-bin/x")
			must("a2enmod", "-q", "cgid", "ssl")
			put("/etc/apache2/conf-enabled/attack.conf", `
ServerName www.example.org
LogLevel info
<Directory /var/www/html/private>
	AuthType Basic
	AuthName x
	AuthUserFile /etc/htpasswd
	Require valid-user
</Directory>
`)
			put("/etc/apache2/sites-enabled/ssl.conf", `<VirtualHost *:443>
	SSLEngine on
	SSLCertificateFile `+snakeoilCert+`
	SSLCertificateKeyFile `+snakeoilKey+`
	ErrorLog /var/log/apache2/error.log
	CustomLog /var/log/apache2/access.log combined
</VirtualHost>
`)
			put("/var/www/html/private/index.html", "")
			must("a2enconf", "-q", "serve-cgi-bin")
			w.service("apache2", "/usr/sbin/apache2ctl", "-DFOREGROUND")
			listening(80)
		},
		fields: webFields(80), plain: plainWeb(80),
	}
}

func lighttpd() daemon {
	return daemon{
		name: "lighttpd", pkg: "lighttpd", rules: []string{"web-access", "lighttpd"},
		files: []logFile{{"/var/log/lighttpd/access.log", "lighttpd"}, {"/var/log/lighttpd/error.log", "lighttpd"}},
		start: func(w *world) {
			program("/usr/lib/cgi-bin/x")
			put("/etc/lighttpd/conf-enabled/attack.conf", `
server.modules += ("mod_accesslog", "mod_cgi", "mod_auth", "mod_authn_file")
accesslog.filename = "/var/log/lighttpd/access.log"
accesslog.format = "%h - %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""
auth.backend = "htpasswd"
auth.backend.htpasswd.userfile = "/etc/htpasswd"
auth.require = ("/private/" => ("method" => "basic", "realm" => "x", "require" => "valid-user"))
$HTTP["url"] =~ "^/cgi-bin/" {
	alias.url += ("/cgi-bin/" => "/usr/lib/cgi-bin/")
	cgi.assign = ("" => "")
}
debug.log-request-handling = "disable"
`)
			put("/var/www/html/private/index.html", "")
			w.service("lighttpd", "/usr/sbin/lighttpd", "-D", "-f", "/etc/lighttpd/lighttpd.conf")
			listening(80)
		},
		fields: webFields(80),
		plain: func(w *world, c client) { // it writes its log every few seconds
			plainWeb(80)(w, c)
			_ = soon(func() error {
				if text, err := os.ReadFile("/var/log/lighttpd/access.log"); err != nil || strings.Count(string(text), plain) < 24 {
					return errors.New("not yet")
				}
				return nil
			})
		},
	}
}

func haproxy() daemon {
	return daemon{
		name: "haproxy", pkg: "haproxy", rules: []string{"haproxy"},
		start: func(w *world) {
			must("mkdir", "-p", "/run/haproxy")
			must("sh", "-c", "cat "+snakeoilCert+" "+snakeoilKey+" >/etc/haproxy/pem")
			put("/etc/haproxy/haproxy.cfg", `
global
	log /dev/log local0
	user haproxy
	group haproxy
defaults
	log global
	mode http
	option httplog
	timeout connect 5s
	timeout client 5s
	timeout server 5s
userlist people
	user dan insecure-password x
frontend web
	bind :80
	bind :443 ssl crt /etc/haproxy/pem
	capture request header User-Agent len 128
	capture request header Host len 128
	acl private path_beg /private/
	http-request auth realm x if private !{ http_auth(people) }
	http-request deny deny_status 403 if { path -m sub .env }
	http-request return status 404
`)
			w.service("haproxy", "/usr/sbin/haproxy", "-Ws", "-f", "/etc/haproxy/haproxy.cfg")
			listening(80)
		},
		fields: webFields(80),
		plain: func(w *world, c client) {
			plainWeb(80)(w, c)
			for range 320 {
				_ = c.request(80, "GET /private/ HTTP/1.1", "Host: www.example.org", basic("root", "x"))
			}
		},
	}
}

func squid() daemon {
	list := webFields(3128)
	proxy := func(_ *world, c client, v string) error {
		return errors.Join(
			c.request(3128, "GET http://"+v+"/ HTTP/1.1", "Host: "+v),
			c.request(3128, "GET http://www.example.org/"+url.PathEscape(v)+" HTTP/1.1", "Host: x", "Proxy-"+basic(v, "x")),
		)
	}
	return daemon{
		name: "squid", pkg: "squid", rules: []string{"squid"}, slow: true,
		unreported: true, // a laptop that has the proxy set while it is elsewhere is denied as well
		files:      []logFile{{"/var/log/squid/access.log", "squid"}, {"/var/log/squid/cache.log", "squid"}},
		start: func(w *world) {
			put("/etc/squid/squid.conf", `
http_port 3128
acl CONNECT method CONNECT
auth_param basic program /usr/lib/squid/basic_ncsa_auth /etc/htpasswd
auth_param basic realm x
acl people proxy_auth REQUIRED
acl www dstdomain www.example.org
http_access deny CONNECT
http_access deny www !people
http_access deny all
access_log daemon:/var/log/squid/access.log squid
shutdown_lifetime 1 second
`)
			put("/etc/htpasswd", "dan:$apr1$abcdefgh$irsH8OkJyHTkYGXYh0e9z0\n")
			w.service("squid", "/usr/sbin/squid", "--foreground", "-sYC")
			listening(3128)
		},
		fields: append(list[:len(list)-2], field{"proxy's target and user", proxy}, field{"CONNECT", func(_ *world, c client, v string) error {
			return c.request(3128, "CONNECT "+v+":443 HTTP/1.1", "Host: x")
		}}),
		plain: func(_ *world, c client) {
			for range 25 { // the shipped policies ask for 20
				_ = c.request(3128, "CONNECT 192.0.2.1:25 HTTP/1.1", "Host: x")
			}
		},
	}
}
