package attack

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
)

func mailDaemons() []daemon { return []daemon{dovecot(), postfix(), exim()} }

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// literal is a string of IMAP that may hold anything (RFC 7888).
func literal(s string) string { return fmt.Sprintf("{%d+}\r\n%s", len(s), s) }

// tlsConverse opens TLS with a server name first.
func (c client) tlsConverse(port int, name string, texts ...string) error {
	conn, err := c.dial(port)
	if err != nil {
		return err
	}
	defer conn.Close()
	secure := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		return err
	}
	return converseOn(secure, texts...)
}

func dovecot() daemon {
	imap := func(texts func(v string) []string) func(*world, client, string) error {
		return func(_ *world, c client, v string) error { return c.converse(143, texts(v)...) }
	}
	pop := func(texts func(v string) []string) func(*world, client, string) error {
		return func(_ *world, c client, v string) error { return c.converse(110, texts(v)...) }
	}
	return daemon{
		name: "dovecot", pkg: "dovecot-core", rules: []string{"dovecot", "pam"},
		start: func(w *world) {
			withoutDelay()
			settings := `ssl_cert = <` + snakeoilCert + `
ssl_key = <` + snakeoilKey + `
disable_plaintext_auth = no
imap_id_log = *
`
			if main, _ := os.ReadFile("/etc/dovecot/dovecot.conf"); strings.Contains(string(main), "dovecot_config_version") { // 2.4 on
				settings = `ssl_server_cert_file = ` + snakeoilCert + `
ssl_server_key_file = ` + snakeoilKey + `
auth_allow_cleartext = yes
`
			}
			put("/etc/dovecot/local.conf", settings+`
listen = *
ssl = yes
auth_mechanisms = plain login
auth_verbose = yes
auth_failure_delay = 0
auth_username_chars =
mail_max_userip_connections = 1000
login_trusted_networks =
service imap-login {
  process_limit = 200
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
`)
			w.service("dovecot", "/usr/sbin/dovecot", "-F")
			listening(143)
		},
		fields: []field{
			{"IMAP LOGIN user", imap(func(v string) []string { return []string{"a LOGIN " + literal(v) + " x\r\n", "b LOGOUT\r\n"} })},
			{"IMAP LOGIN password", imap(func(v string) []string { return []string{"a LOGIN dan " + literal(v) + "\r\n", "b LOGOUT\r\n"} })},
			{"IMAP PLAIN user", imap(func(v string) []string { return []string{"a AUTHENTICATE PLAIN " + b64("\x00"+v+"\x00x") + "\r\n"} })},
			{"IMAP PLAIN authzid", imap(func(v string) []string {
				return []string{"a AUTHENTICATE PLAIN " + b64(v+"\x00dan\x00x") + "\r\n", "b LOGOUT\r\n"}
			})},
			{"IMAP PLAIN, whole", imap(func(v string) []string { return []string{"a AUTHENTICATE PLAIN " + b64(v) + "\r\n"} })},
			{"IMAP mechanism", imap(func(v string) []string { return []string{"a AUTHENTICATE " + v + " x\r\n"} })},
			{"IMAP ID", imap(func(v string) []string {
				return []string{"a ID (\"name\" " + literal(v) + " \"x-originating-ip\" " + literal(v) + " " + literal(v) + " \"x\")\r\n", "b LOGIN dan x\r\n"}
			})},
			{"IMAP command", imap(func(v string) []string { return []string{v + "\r\n", "a LOGIN dan x\r\n"} })},
			{"POP3 user", pop(func(v string) []string { return []string{"USER " + v + "\r\n", "PASS x\r\n"} })},
			{"POP3 password", pop(func(v string) []string { return []string{"USER dan\r\n", "PASS " + v + "\r\n"} })},
			{"POP3 PLAIN user", pop(func(v string) []string { return []string{"AUTH PLAIN " + b64("\x00"+v+"\x00x") + "\r\n"} })},
			{"POP3 APOP", pop(func(v string) []string { return []string{"APOP " + v + " 0123\r\n"} })},
			{"IMAPS server name", func(_ *world, c client, v string) error { return c.tlsConverse(993, v, "a LOGIN dan x\r\n") }},
			{"instead of TLS", func(_ *world, c client, v string) error { return c.raw(993, v) }},
		},
		plain: func(_ *world, c client) {
			for i := range 12 {
				_ = c.converse(143, fmt.Sprintf("a LOGIN user%d x\r\n", i), "b LOGOUT\r\n")
			}
		},
	}
}

// smtpFields are the fields of SMTP.
func smtpFields() []field {
	smtp := func(texts func(v string) []string) func(*world, client, string) error {
		return func(_ *world, c client, v string) error { return c.converse(25, texts(v)...) }
	}
	const ehlo = "EHLO desk.example.org\r\n"
	return []field{
		{"HELO", smtp(func(v string) []string {
			return []string{"HELO " + v + "\r\n", "MAIL FROM:<a@example.org>\r\n", "RCPT TO:<b@example.net>\r\n", "QUIT\r\n"}
		})},
		{"EHLO, then a password", smtp(func(v string) []string {
			return []string{"EHLO " + v + "\r\n", "AUTH PLAIN " + b64("\x00dan\x00x") + "\r\n", "QUIT\r\n"}
		})},
		{"MAIL FROM", smtp(func(v string) []string {
			return []string{ehlo, "MAIL FROM:<" + v + ">\r\n", "RCPT TO:<b@example.net>\r\n", "QUIT\r\n"}
		})},
		{"MAIL FROM, quoted", smtp(func(v string) []string {
			return []string{ehlo, "MAIL FROM:<\"" + v + "\"@example.org>\r\n", "RCPT TO:<b@example.net>\r\n", "QUIT\r\n"}
		})},
		{"RCPT TO", smtp(func(v string) []string {
			return []string{ehlo, "MAIL FROM:<a@example.org>\r\n", "RCPT TO:<" + v + ">\r\n", "QUIT\r\n"}
		})},
		{"RCPT TO, quoted", smtp(func(v string) []string {
			return []string{ehlo, "MAIL FROM:<a@example.org>\r\n", "RCPT TO:<\"" + v + "\"@example.net>\r\n", "QUIT\r\n"}
		})},
		{"AUTH PLAIN user", smtp(func(v string) []string {
			return []string{ehlo, "AUTH PLAIN " + b64("\x00"+v+"\x00x") + "\r\n", "QUIT\r\n"}
		})},
		{"AUTH PLAIN authzid", smtp(func(v string) []string {
			return []string{ehlo, "AUTH PLAIN " + b64(v+"\x00dan\x00x") + "\r\n", "QUIT\r\n"}
		})},
		{"AUTH LOGIN user", smtp(func(v string) []string {
			return []string{ehlo, "AUTH LOGIN\r\n", b64(v) + "\r\n", b64("x") + "\r\n", "QUIT\r\n"}
		})},
		{"AUTH LOGIN, not base64", smtp(func(v string) []string { return []string{ehlo, "AUTH LOGIN\r\n", v + "\r\n", v + "\r\n", "QUIT\r\n"} })},
		{"AUTH mechanism", smtp(func(v string) []string { return []string{ehlo, "AUTH " + v + "\r\n", "QUIT\r\n"} })},
		{"command", smtp(func(v string) []string { return []string{ehlo, v + "\r\n", "QUIT\r\n"} })},
		{"VRFY, ETRN and their like", smtp(func(v string) []string {
			return []string{ehlo, "VRFY " + v + "\r\n", "ETRN " + v + "\r\n", "EXPN " + v + "\r\n", "XCLIENT ADDR=" + v + "\r\n"}
		})},
		{"after the first bad command", smtp(func(v string) []string { return []string{"GET / HTTP/1.1\r\n" + v + "\r\n\r\n"} })},
		{"pipelined before the greeting", func(_ *world, c client, v string) error { return c.raw(25, "EHLO "+v+"\r\n"+v+"\r\nQUIT\r\n") }},
		{"subject", smtp(func(v string) []string {
			return []string{ehlo, "MAIL FROM:<a@example.org>\r\n", "RCPT TO:<root@web1.example.org>\r\n", "DATA\r\n",
				"Message-ID: <" + v + ">\r\nSubject: " + v + "\r\nFrom: " + v + "\r\n\r\n" + v + "\r\n.\r\n", "QUIT\r\n"}
		})},
		{"TLS server name", func(_ *world, c client, v string) error {
			conn, err := c.dial(25)
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := converseOn(conn, ehlo, "STARTTLS\r\n"); err != nil {
				return err
			}
			secure := tls.Client(conn, &tls.Config{ServerName: v, InsecureSkipVerify: true})
			if err := secure.Handshake(); err != nil {
				return err
			}
			_, err = io.WriteString(secure, "AUTH PLAIN "+b64("\x00"+v+"\x00x")+"\r\n")
			return err
		}},
	}
}

// plainSMTP tries passwords, and to send mail to others.
func plainSMTP(_ *world, c client) {
	for i := range 12 {
		_ = c.converse(25, "EHLO desk.example.org\r\n", "AUTH LOGIN\r\n", b64(fmt.Sprint("user", i))+"\r\n", b64("x")+"\r\n", "QUIT\r\n")
		_ = c.converse(25, "EHLO desk.example.org\r\n", "MAIL FROM:<a@example.org>\r\n", fmt.Sprintf("RCPT TO:<b%d@example.net>\r\n", i), "QUIT\r\n")
	}
}

func postfix() daemon {
	return daemon{
		name: "postfix", pkg: "postfix", rules: []string{"postfix"},
		start: func(w *world) {
			put("/etc/postfix/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n")
			must("sh", "-c", "echo secret | saslpasswd2 -p -c -u web1.example.org dan; chown root:postfix /etc/sasldb2; chmod 640 /etc/sasldb2")
			must("postconf", "-F", "*/*/chroot = n")
			must("postconf", "myhostname=web1.example.org", "inet_interfaces=all", "inet_protocols=ipv4", "smtpd_sasl_auth_enable=yes",
				"smtpd_error_sleep_time=0", "smtpd_soft_error_limit=1000", "smtpd_client_connection_count_limit=0", "smtpd_helo_required=yes",
				"smtpd_relay_restrictions=permit_mynetworks,reject_unauth_destination", "mynetworks=127.0.0.0/8", "default_process_limit=200",
				"smtpd_delay_reject=yes", "maillog_file=", "smtpd_tls_auth_only=no", "default_transport=discard", "local_transport=discard", "smtpd_forbid_bare_newline=no")
			must("newaliases")
			w.service("postfix@-", "/usr/sbin/postfix", "start-fg")
			listening(25)
		},
		fields: smtpFields(), plain: plainSMTP,
	}
}

func exim() daemon {
	return daemon{
		name: "exim", layer: "exim4", rules: []string{"exim"},
		files: []logFile{{"/var/log/exim4/mainlog", "exim"}, {"/var/log/exim4/rejectlog", "exim"}},
		start: func(w *world) {
			must("sh", "-c", `grep -q Debian-exim /etc/passwd || echo 'Debian-exim:x:990:990::/var/spool/exim4:/usr/sbin/nologin' >>/etc/passwd
echo 'Debian-exim:x:990:' >>/etc/group; mkdir -p /var/spool/exim4 /var/log/exim4; chown -R 990:990 /var/spool/exim4 /var/log/exim4`)
			put("/etc/exim4/exim4.conf", `
primary_hostname = web1.example.org
domainlist local_domains = web1.example.org
tls_advertise_hosts = *
tls_certificate = `+snakeoilCert+`
tls_privatekey = /etc/exim4/key
smtp_accept_max = 300
smtp_accept_queue_per_connection = 0
smtp_max_unknown_commands = 20
helo_allow_chars = _
host_lookup =
rfc1413_query_timeout = 0s
log_selector = +smtp_protocol_error +smtp_syntax_error +tls_sni +incoming_port
acl_smtp_rcpt = rcpt
acl_smtp_mail = accept
acl_smtp_data = accept
queue_only
begin acl
rcpt:
  accept domains = +local_domains
  deny message = relay not permitted
begin routers
local:
  driver = accept
  transport = null
begin transports
null:
  driver = appendfile
  file = /dev/null
  user = Debian-exim
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = false
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = false
  server_set_id = $auth1
`)
			must("sh", "-c", "cp "+snakeoilKey+" /etc/exim4/key; chown 990 /etc/exim4/key")
			w.service("exim4", "/usr/sbin/exim4", "-bdf", "-q1h", "-oX", "25")
			listening(25)
		},
		fields: smtpFields(), plain: plainSMTP,
	}
}

// --- FTP --------------------------------------------------------------------------------------------------------------

func ftpDaemons() []daemon { return []daemon{vsftpd(), proftpd()} }

// ftpFields are the fields of FTP.
func ftpFields() []field {
	ftp := func(texts func(v string) []string) func(*world, client, string) error {
		return func(_ *world, c client, v string) error { return c.converse(21, texts(v)...) }
	}
	telnet := strings.NewReplacer("\xff", "\xff\xff")
	return []field{
		{"USER", ftp(func(v string) []string {
			return []string{"USER " + telnet.Replace(v) + "\r\n", "PASS x\r\n", "QUIT\r\n"}
		})},
		{"PASS", ftp(func(v string) []string { return []string{"USER dan\r\n", "PASS " + v + "\r\n", "QUIT\r\n"} })},
		{"anonymous password", ftp(func(v string) []string {
			return []string{"USER anonymous\r\n", "PASS " + v + "\r\n", "CWD " + v + "\r\n", "RETR " + v + "\r\n"}
		})},
		{"command", ftp(func(v string) []string { return []string{v + "\r\n", v + " x\r\n", "QUIT\r\n"} })},
		{"path without a login", ftp(func(v string) []string {
			return []string{"RETR " + v + "\r\n", "CWD " + v + "\r\n", "STOR " + v + "\r\n"}
		})},
		{"path as a user", ftp(func(v string) []string {
			return []string{"USER dan\r\n", "PASS secret\r\n", "CWD " + v + "\r\n", "MKD " + v + "\r\n", "DELE " + v + "\r\n", "QUIT\r\n"}
		})},
		{"no FTP", func(_ *world, c client, v string) error { return c.raw(21, v+"\r\nQUIT\r\n") }},
	}
}

func plainFTP(_ *world, c client) {
	for i := range 12 {
		_ = c.converse(21, fmt.Sprintf("USER user%d\r\n", i), "PASS x\r\n", "QUIT\r\n")
	}
}

// dan is an account with a password, so that somebody may come in.
func dan() { must("sh", "-c", "useradd -m -s /bin/bash dan; echo dan:secret | chpasswd") }

func vsftpd() daemon {
	return daemon{
		name: "vsftpd", pkg: "vsftpd", rules: []string{"vsftpd", "pam"}, files: []logFile{{"/var/log/vsftpd.log", "vsftpd"}},
		start: func(w *world) {
			withoutDelay()
			dan()
			put("/etc/vsftpd.conf", `
listen=YES
anonymous_enable=NO
local_enable=YES
write_enable=YES
xferlog_enable=YES
xferlog_std_format=NO
dual_log_enable=YES
log_ftp_protocol=YES
syslog_enable=NO
delay_failed_login=0
max_login_fails=10
use_localtime=YES
secure_chroot_dir=/run/vsftpd/empty
pam_service_name=vsftpd
seccomp_sandbox=NO
`)
			put("/run/vsftpd/empty/.keep", "")
			w.service("vsftpd", "/usr/sbin/vsftpd", "/etc/vsftpd.conf")
			listening(21)
		},
		fields: ftpFields(), plain: plainFTP,
	}
}

func proftpd() daemon {
	return daemon{
		name: "proftpd", layer: "proftpd", foreign: true, rules: []string{"proftpd", "pam"}, files: []logFile{{"/var/log/proftpd/proftpd.log", "proftpd"}},
		start: func(w *world) {
			withoutDelay()
			dan()
			must("sh", "-c", `mkdir -p /var/log/proftpd /run/proftpd; echo /bin/bash >>/etc/shells
printf '@include common-auth\n@include common-account\n@include common-session\n' >/etc/pam.d/proftpd; groupadd -f nogroup; useradd -r -g nogroup proftpd`)
			put("/etc/proftpd/proftpd.conf", `
ServerName x
ServerType standalone
DefaultServer on
Port 21
User proftpd
Group nogroup
UseReverseDNS off
UseIPv6 off
MaxInstances 300
MaxLoginAttempts 10
SystemLog /var/log/proftpd/proftpd.log
TransferLog /var/log/proftpd/xferlog
`)
			w.service("proftpd", "/usr/sbin/proftpd", "--nodaemon", "-c", "/etc/proftpd/proftpd.conf")
			listening(21)
		},
		fields: ftpFields(), plain: plainFTP,
	}
}
