package attack

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf16"
)

func otherDaemons() []daemon {
	return []daemon{redis(), rsyncd(), samba(), postgresql(), mariadb(), bind(), openvpn()}
}

func redis() daemon {
	resp := func(args ...string) string {
		b := fmt.Sprintf("*%d\r\n", len(args))
		for _, a := range args {
			b += fmt.Sprintf("$%d\r\n%s\r\n", len(a), a)
		}
		return b
	}
	send := func(text func(v string) string) func(*world, client, string) error {
		return func(_ *world, c client, v string) error { return c.raw(6379, text(v)+resp("QUIT")) }
	}
	return daemon{
		name: "redis", pkg: "redis-server", rules: []string{"redis"}, unreported: true, nameless: true,
		start: func(w *world) {
			put("/etc/redis/redis.conf", "bind 0.0.0.0\nprotected-mode no\nloglevel verbose\nsyslog-enabled yes\nsyslog-ident redis-server\nlogfile \"\"\nsave \"\"\ndir /tmp\nenable-debug-command yes\n")
			w.service("redis-server", "/usr/bin/redis-server", "/etc/redis/redis.conf")
			listening(6379)
		},
		fields: []field{
			{"redis.log in EVAL", send(func(v string) string { return resp("EVAL", "redis.log(redis.LOG_WARNING, ARGV[1])", "0", v) })},
			{"script with an error", send(func(v string) string { return resp("EVAL", v, "0") })},
			{"AUTH user", send(func(v string) string { return resp("AUTH", v, "x") })},
			{"client's name", send(func(v string) string { return resp("CLIENT", "SETNAME", v) + resp("HELLO", "3", "SETNAME", v) })},
			{"command", send(func(v string) string { return resp(v, v) })},
			{"inline command", send(func(v string) string { return v + "\r\n" })},
			{"POST", send(func(v string) string { return "POST " + v + "\r\n" })},
			{"Host", send(func(v string) string { return "Host: " + v + "\r\n" })},
			{"DEBUG LOG", send(func(v string) string { return resp("DEBUG", "LOG", v) })},
			{"CONFIG SET", send(func(v string) string {
				return resp("CONFIG", "SET", "proc-title-template", v) + resp("REPLICAOF", v, v) + resp("REPLICAOF", "NO", "ONE")
			})},
		},
		plain: func(_ *world, c client) {
			for range 12 {
				_ = c.raw(6379, "POST / HTTP/1.1\r\nHost: x\r\n\r\n")
			}
		},
	}
}

func rsyncd() daemon {
	// talk speaks until the module was chosen, and answers a challenge.
	talk := func(c client, banner, module, answer string, rest ...string) error {
		conn, err := c.dial(873)
		if err != nil {
			return err
		}
		defer conn.Close()
		texts := []string{banner + "\n" + module + "\n"}
		if module != "open" {
			texts = append(texts, answer)
		}
		texts = append(texts, rest...)
		return converseOn(conn, texts...)
	}
	const banner = "@RSYNCD: 31.0 md5 md4"
	return daemon{
		name: "rsyncd", pkg: "rsync", rules: []string{"rsyncd"}, unreported: true,
		start: func(w *world) {
			put("/etc/rsyncd.secrets", "dan:secret\n")
			must("chmod", "600", "/etc/rsyncd.secrets")
			put("/srv/data/.keep", "")
			put("/etc/rsyncd.conf", "listen backlog = 200\nreverse lookup = no\nuid = root\ngid = root\n[data]\npath = /srv/data\nauth users = dan\nsecrets file = /etc/rsyncd.secrets\n[open]\npath = /srv/data\nread only = no\ntransfer logging = yes\n")
			w.service("rsync", "/usr/bin/rsync", "--daemon", "--no-detach")
			listening(873)
		},
		fields: []field{
			{"module", func(_ *world, c client, v string) error { return talk(c, banner, v, "") }},
			{"user", func(_ *world, c client, v string) error { return talk(c, banner, "data", v+" aGVsbG8\n") }},
			{"answer", func(_ *world, c client, v string) error { return talk(c, banner, "data", "dan "+v+"\n") }},
			{"banner", func(_ *world, c client, v string) error { return talk(c, v, "data", "dan x\n") }},
			{"banner's digests", func(_ *world, c client, v string) error { return talk(c, "@RSYNCD: 31.0 "+v, "data", "dan x\n") }},
			{"option", func(_ *world, c client, v string) error {
				return talk(c, banner, "open", "", "--server\x00--"+v+"\x00.\x00open/\x00\x00")
			}},
			{"path", func(_ *world, c client, v string) error {
				return talk(c, banner, "open", "", "--server\x00--sender\x00-e.LsfxCIu\x00.\x00open/"+v+"\x00\x00", "\x00\x00\x00\x00")
			}},
			{"message of an error", func(_ *world, c client, v string) error {
				frame := func(code byte) string {
					head := binary.LittleEndian.AppendUint32(nil, uint32(7+code)<<24|uint32(len(v)+1))
					return string(head) + v + "\n"
				}
				return talk(c, banner, "open", "", "--server\x00-e.LsfxCIu\x00.\x00open/\x00\x00", frame(1)+frame(3)+frame(2)+frame(4))
			}},
		},
		plain: func(_ *world, c client) {
			for i := range 12 {
				_ = talk(c, banner, "data", fmt.Sprintf("user%d aGVsbG8\n", i))
			}
		},
	}
}

// --- Samba ------------------------------------------------------------------------------------------------------------

func utf16le(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

// smb2 frames a request of SMB2 ([MS-SMB2] 2.2.1).
func smb2(command uint16, message, session uint64, body string) string {
	b := []byte("\xfeSMB\x40\x00")
	b = append(b, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint16(b, command)
	b = append(b, 31, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, message)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint64(b, session)
	b = append(append(b, make([]byte, 16)...), body...)
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) + string(b)
}

func sessionSetup(message, session uint64, token string) string {
	body := []byte{25, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x58, 0}
	body = binary.LittleEndian.AppendUint16(body, uint16(len(token)))
	return smb2(1, message, session, string(append(body, make([]byte, 8)...))+token)
}

// smb tries to log in by NTLMSSP with a response of the old kind, which no password fits.
func (c client) smb(domain, user, workstation string) error {
	conn, err := c.dial(445)
	if err != nil {
		return err
	}
	defer conn.Close()
	read := func() ([]byte, error) {
		head := make([]byte, 4)
		if _, err := io.ReadFull(conn, head); err != nil {
			return nil, err
		}
		body := make([]byte, binary.BigEndian.Uint32(head)&0xffffff)
		_, err := io.ReadFull(conn, body)
		return body, err
	}
	ask := func(request string) ([]byte, error) {
		if _, err := io.WriteString(conn, request); err != nil {
			return nil, err
		}
		return read()
	}
	negotiate, _ := hex.DecodeString("24000200010000007f000000000102030405060708090a0b0c0d0e0f000000000000000002021002")
	if _, err := ask(smb2(0, 0, 0, string(negotiate))); err != nil {
		return err
	}
	answer, err := ask(sessionSetup(1, 0, "NTLMSSP\x00\x01\x00\x00\x00\x05\x82\x08\xa0"+strings.Repeat("\x00", 16)))
	if err != nil {
		return err
	}
	if len(answer) < 64 {
		return errors.New("no answer to the negotiation")
	}
	session := binary.LittleEndian.Uint64(answer[40:])
	token := "NTLMSSP\x00\x03\x00\x00\x00"
	var payload string
	for _, value := range []string{strings.Repeat("\x01", 24), strings.Repeat("\x02", 24), utf16le(domain), utf16le(user), utf16le(workstation), ""} {
		b := binary.LittleEndian.AppendUint16(nil, uint16(len(value)))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
		token += string(binary.LittleEndian.AppendUint32(b, uint32(64+len(payload))))
		payload += value
	}
	_, err = ask(sessionSetup(2, session, token+"\x05\x82\x08\xa0"+payload))
	return err
}

func samba() daemon {
	return daemon{
		name: "samba", pkg: "samba", unreported: true, rules: []string{"samba"}, files: []logFile{{"/var/log/samba/log.smbd", "smbd"}},
		start: func(w *world) {
			put("/run/samba/.keep", "")
			put("/etc/samba/smb.conf", `[global]
server role = standalone server
map to guest = never
logging = file syslog
log level = 1 auth_audit:3
log file = /var/log/samba/log.smbd
max log size = 0
disable netbios = yes
load printers = no
printing = bsd
ntlm auth = yes
`)
			w.service("smbd", "/usr/sbin/smbd", "--foreground", "--no-process-group")
			listening(445)
		},
		fields: []field{
			{"user", func(_ *world, c client, v string) error { return c.smb("WORKGROUP", v, "WS") }},
			{"domain", func(_ *world, c client, v string) error { return c.smb(v, "root", "WS") }},
			{"workstation", func(_ *world, c client, v string) error { return c.smb("WORKGROUP", "root", v) }},
			{"no SMB", func(_ *world, c client, v string) error { return c.raw(445, "\x00\x00\x00\x10"+v) }},
		},
		plain: func(_ *world, c client) {
			for i := range 12 {
				_ = c.smb("WORKGROUP", fmt.Sprint("user", i), "WS")
			}
		},
	}
}

// --- databases --------------------------------------------------------------------------------------------------------

func postgresql() daemon {
	startup := func(c client, pairs ...string) error {
		body := "\x00\x03\x00\x00" + strings.Join(pairs, "\x00") + "\x00\x00"
		conn, err := c.dial(5432)
		if err != nil {
			return err
		}
		defer conn.Close()
		password := "p" + string(binary.BigEndian.AppendUint32(nil, 6)) + "x\x00"
		if _, err := io.WriteString(conn, string(binary.BigEndian.AppendUint32(nil, uint32(4+len(body))))+body+password); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, conn)
		return err
	}
	return daemon{
		name: "postgresql", pkg: "postgresql", rules: []string{"postgresql", "postgresql-json"},
		files: []logFile{{"/var/log/postgresql/text.log", "postgres"}, {"/var/log/postgresql/text.json", "postgresql-json"}},
		start: func(w *world) {
			found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
			if len(found) == 0 {
				fatal("no postgres in the file system")
			}
			version := filepath.Base(filepath.Dir(filepath.Dir(found[0])))
			etc := "/etc/postgresql/" + version + "/main"
			put(etc+"/pg_hba.conf", "host all all "+plain+"/32 reject\nhost all all 0.0.0.0/0 password\n")
			put(etc+"/conf.d/attack.conf", `
listen_addresses = '*'
log_destination = 'stderr,jsonlog'
logging_collector = on
log_directory = '/var/log/postgresql'
log_filename = 'text.log'
log_file_mode = 0640
log_connections = on
log_disconnections = on
log_line_prefix = '%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h '
max_connections = 100
fsync = off
authentication_timeout = 5s
`)
			put("/run/postgresql/.keep", "")
			must("sh", "-c", "chown -R postgres /run/postgresql; rm -f /etc/postgresql/"+version+"/main/../../../../none; sed -i 's/^ssl = on/ssl = off/' "+etc+"/postgresql.conf")
			w.service("postgresql@"+version+"-main", "/usr/sbin/runuser", "-u", "postgres", "--", found[0], "-D", "/var/lib/postgresql/"+version+"/main", "-c", "config_file="+etc+"/postgresql.conf")
			listening(5432)
		},
		fields: []field{
			{"user", func(_ *world, c client, v string) error { return startup(c, "user", v, "database", "postgres") }},
			{"database", func(_ *world, c client, v string) error { return startup(c, "user", "dan", "database", v) }},
			{"application", func(_ *world, c client, v string) error { return startup(c, "user", "dan", "application_name", v) }},
			{"options", func(_ *world, c client, v string) error { return startup(c, "user", "dan", "options", "-c "+v) }},
			{"unknown parameter", func(_ *world, c client, v string) error { return startup(c, "user", "dan", v, v) }},
			{"replication", func(_ *world, c client, v string) error { return startup(c, "user", "dan", "replication", v) }},
			{"no PostgreSQL", func(_ *world, c client, v string) error { return c.raw(5432, v) }},
		},
		plain: func(_ *world, c client) {
			for i := range 12 {
				_ = startup(c, "user", fmt.Sprint("user", i), "database", "postgres")
			}
		},
	}
}

func mariadb() daemon {
	login := func(c client, user, database, plugin string) error {
		conn, err := c.dial(3306)
		if err != nil {
			return err
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		if _, err := conn.Read(buf); err != nil {
			return err
		}
		const flags = 0x0008_8209 | 0x8 // protocol 4.1, secure connection, a database, plugins
		b := binary.LittleEndian.AppendUint32(nil, flags)
		b = append(binary.LittleEndian.AppendUint32(b, 1<<24), 45)
		b = append(append(b, make([]byte, 23)...), user+"\x00\x14"+strings.Repeat("\x01", 20)+database+"\x00"+plugin+"\x00"...)
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(b))|1<<24)
		if _, err := conn.Write(append(head, b...)); err != nil {
			return err
		}
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, err = conn.Read(buf)
		return err
	}
	return daemon{
		name: "mariadb", pkg: "mariadb-server", rules: []string{"mariadb", "mariadb-audit"}, slow: true,
		start: func(w *world) {
			put("/etc/mysql/mariadb.conf.d/99-attack.cnf", `[mariadbd]
bind-address = 0.0.0.0
skip_name_resolve
init_file = /etc/mysql/init.sql
log_warnings = 2
max_connect_errors = 1000000
max_password_errors = 1000000
plugin_load_add = server_audit
server_audit_logging = ON
server_audit_output_type = syslog
server_audit_events = CONNECT
innodb_flush_log_at_trx_commit = 0
`)
			must("sh", "-c", "mkdir -p /run/mysqld; chown mysql /run/mysqld")
			put("/etc/mysql/init.sql", "CREATE USER IF NOT EXISTS dan@'%' IDENTIFIED BY 'secret';\n") // or every host is turned away unheard
			w.service("mariadb", "/usr/sbin/mariadbd", "--user=mysql")
			listening(3306)
		},
		fields: []field{
			{"user", func(_ *world, c client, v string) error { return login(c, v, "x", "mysql_native_password") }},
			{"database", func(_ *world, c client, v string) error { return login(c, "root", v, "mysql_native_password") }},
			{"plug-in", func(_ *world, c client, v string) error { return login(c, "dan", "x", v) }},
			{"no MariaDB", func(_ *world, c client, v string) error { return c.raw(3306, v) }},
		},
		plain: func(_ *world, c client) {
			for i := range 12 {
				_ = login(c, fmt.Sprint("user", i), "", "mysql_native_password")
			}
		},
	}
}

// --- names and tunnels --------------------------------------------------------------------------------------------------

// packetTo sends a datagram and waits a little for an answer.
func (c client) packetTo(port int, text string) error {
	conn, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(c.addr)}, &net.UDPAddr{IP: net.ParseIP(server), Port: port})
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err = conn.Read(make([]byte, 4096))
	return err
}

// once sends text by TCP and reads one answer.
func (c client) once(port int, text string) error {
	return c.exchange(port, text, 100*time.Millisecond, func(conn net.Conn) error {
		_, err := conn.Read(make([]byte, 4096))
		return err
	})
}

// question is a query of DNS for a name of one or more labels of any bytes.
func question(name string, kind uint16) string {
	b := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	for len(name) > 0 && len(b) < 240 {
		n := min(63, len(name))
		b += string([]byte{byte(n)}) + name[:n]
		name = name[n:]
	}
	return b + "\x00" + string(binary.BigEndian.AppendUint16(nil, kind)) + "\x00\x01"
}

func bind() daemon {
	return daemon{
		name: "bind", pkg: "bind9", rules: []string{"named"}, unreported: true,
		start: func(w *world) {
			put("/etc/bind/db.example", "$TTL 3600\n@ SOA localhost. root.localhost. 1 3600 3600 3600 3600\n@ NS localhost.\n")
			put("/etc/bind/named.conf", `
options { directory "/var/cache/bind"; listen-on { any; }; listen-on-v6 { none; }; recursion no; allow-query { 127.0.0.1; }; allow-transfer { none; }; allow-update { none; }; };
zone "example.org" { type primary; file "/etc/bind/db.example"; };
`)
			must("sh", "-c", "mkdir -p /run/named; chown bind /run/named")
			w.service("named", "/usr/sbin/named", "-f", "-4", "-u", "bind")
			listening(53)
		},
		fields: []field{
			{"name by UDP", func(_ *world, c client, v string) error { return c.packetTo(53, question(v, 1)) }},
			{"name by TCP", func(_ *world, c client, v string) error {
				q := question(v, 255)
				return c.once(53, string(binary.BigEndian.AppendUint16(nil, uint16(len(q))))+q)
			}},
			{"name of a transfer", func(_ *world, c client, v string) error {
				q := question(v, 252)
				return c.once(53, string(binary.BigEndian.AppendUint16(nil, uint16(len(q))))+q)
			}},
			{"name of an update", func(_ *world, c client, v string) error {
				q := []byte(question(v, 6))
				q[2] = 0x28
				return c.packetTo(53, string(q))
			}},
			{"no DNS", func(_ *world, c client, v string) error { return c.packetTo(53, v) }},
		},
		plain: func(_ *world, c client) {
			q := "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\xfc\x00\x01" // AXFR
			for range 12 {
				_ = c.once(53, string(binary.BigEndian.AppendUint16(nil, uint16(len(q))))+q)
			}
		},
	}
}

func openvpn() daemon {
	// connect runs OpenVPN's own client, which alone speaks its TLS.
	connect := func(c client, user, peerName string) error {
		dir, err := os.MkdirTemp("/tmp", "vpn")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		put(dir+"/pass", user+"\nx\n")
		return command("timeout", "4", "openvpn", "--client", "--dev", "null", "--proto", "tcp4-client", "--remote", server, "1194", "--local", c.addr, "--bind", "--lport", "0",
			"--ca", snakeoilCert, "--auth-user-pass", dir+"/pass", "--auth-retry", "none", "--connect-retry-max", "1", "--setenv", "IV_GUI_VER", peerName, "--push-peer-info", "--verb", "0",
			"--tls-exit", "--ifconfig-noexec", "--route-noexec")
	}
	return daemon{
		name: "openvpn", pkg: "openvpn", rules: []string{"openvpn"}, slow: true, workers: 16,
		start: func(w *world) {
			put("/etc/openvpn/no", "#!/bin/sh\nexit 1\n")
			must("chmod", "755", "/etc/openvpn/no")
			tun()
			w.service("openvpn@server", "/usr/sbin/openvpn", "--dev", "tun", "--proto", "tcp4-server", "--port", "1194", "--server", "10.99.0.0", "255.255.255.0",
				"--ca", snakeoilCert, "--cert", snakeoilCert, "--key", snakeoilKey, "--dh", "none", "--verify-client-cert", "none", "--username-as-common-name",
				"--auth-user-pass-verify", "/etc/openvpn/no", "via-file", "--script-security", "2", "--syslog", "openvpn", "--verb", "3", "--max-clients", "200", "--tmp-dir", "/tmp")
			listening(1194)
		},
		fields: []field{
			{"user", func(_ *world, c client, v string) error { return connect(c, v, "x") }},
			{"what it says of itself", func(_ *world, c client, v string) error { return connect(c, "dan", v) }},
			{"no OpenVPN", func(_ *world, c client, v string) error { return c.raw(1194, v) }},
			{"control packet", func(_ *world, c client, v string) error {
				p := "\x38" + strings.Repeat("\x01", 8) + "\x00\x00\x00\x00\x00" + v
				return c.raw(1194, string(binary.BigEndian.AppendUint16(nil, uint16(len(p))))+p)
			}},
		},
		plain: func(_ *world, c client) {
			for i := range 110 { // the lines name no account, and the shipped policies ask for 100 then
				_ = connect(c, fmt.Sprint("user", i), "x")
			}
		},
	}
}
