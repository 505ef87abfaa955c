package detect

import (
	"net/netip"
	"testing"
)

// TestFraming tries what is known to have made programs that scan logs blame an address of the attacker's choice. The peer
// of every line is 203.0.113.5; who is planted is 198.51.100.66. A line from which nobody can tell may be refused.
func TestFraming(t *testing.T) {
	r := load(t, Options{})
	var f Finding
	for _, c := range []struct {
		history, program, message string
		found                     bool // the peer is found; else the line is refused or ignored
	}{
		// The user's name is the oldest way: CVE-2006-6301 (DenyHosts); D. Cid, "Attacking Log Analysis Tools", 2007
		// (DenyHosts, BlockHosts, Fail2ban).
		{"sshd: user", "sshd", "Invalid user Failed password for invalid user x from 198.51.100.66 port 22 ssh2 from 203.0.113.5 port 40022", true},
		{"sshd: user", "sshd", "Failed password for invalid user root from 198.51.100.66 from 203.0.113.5 port 40022 ssh2", true},
		{"sshd: user with a line of its own", "sshd", "Invalid user x\nInvalid user root from 198.51.100.66 port 22 from 203.0.113.5 port 40022", true},
		{"sshd: version", "sshd", "Bad protocol version identification 'x' from 198.51.100.66 port 22' from 203.0.113.5 port 40022", true},
		{"sshd: user and algorithm", "sshd", "Unable to negotiate with invalid user x 198.51.100.66 port 1: no matching y found. Their offer: z 203.0.113.5 port 40022: no matching cipher found. Their offer: [preauth]", false},

		// CVE-2013-2178 (Fail2ban): the path and the referer, in Apache's error log.
		{"apache: path", "apache2", "[Sun Nov 22 10:00:00.123456 2026] [auth_basic:error] [pid 1234] [client 203.0.113.5:40022] AH01618: user x not found: /[client 198.51.100.66:1] AH01618: user root not found: /", true},
		{"apache: user", "apache2", "[Sun Nov 22 10:00:00.123456 2026] [auth_basic:error] [pid 1234] [client 203.0.113.5:40022] AH01618: user [client 198.51.100.66:1] AH01618: user root not found: / not found: /", true},
		{"apache: referer", "apache2", "[Sun Nov 22 10:00:00.123456 2026] [auth_basic:error] [pid 1234] [client 203.0.113.5:40022] AH01618: user x not found: /, referer: [client 198.51.100.66:1] AH01618: user root not found: /", true},
		{"lighttpd: user", "lighttpd", "2026-11-22 10:00:00: (mod_auth.c.863) password doesn't match for /x username: y IP: 198.51.100.66 username: z IP: 203.0.113.5", true},
		{"nginx: request", "nginx", `2026/11/22 10:00:00 [error] 1234#1234: *5 user "x": password mismatch, client: 203.0.113.5, server: _, request: "GET /", client: 198.51.100.66, server: _, request: "GET / HTTP/1.1"`, false},
		{"access log: agent", "nginx-access", `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "\x22\x0A198.51.100.66 - - [22/Nov/2026:10:00:00 +0000] \x22GET /.env HTTP/1.1\x22 404 5"`, true},
		{"access log: X-Forwarded-For", "nginx-access", `203.0.113.5 - - [22/Nov/2026:10:00:00 +0000] "GET /.env HTTP/1.1" 404 5 "-" "x" "198.51.100.66"`, true},

		// CVE-2013-7176 and CVE-2013-7177 (Fail2ban): a mail address, in the logs of Postfix and Cyrus.
		{"postfix: recipient", "postfix/smtpd", "NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 554 5.7.1 <RCPT from x[198.51.100.66]: 554 5.7.1 y@example.net>: Relay access denied; from=<a@example.com> to=<RCPT from x[198.51.100.66]: 554 5.7.1 y@example.net> proto=ESMTP helo=<User>", true},
		{"postfix: SASL name", "postfix/smtpd", "warning: unknown[203.0.113.5]: SASL LOGIN authentication failed: authentication failure, sasl_username=x[198.51.100.66]: SASL LOGIN authentication failed: authentication failure", true},
		{"cyrus: user", "cyrus/imap", "badlogin: [203.0.113.5] plaintext x [198.51.100.66] plaintext y SASL(-13): authentication failure: checkpass failed", true},
		{"dovecot: user", "dovecot", "imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x>, method=PLAIN, rip=198.51.100.66, lip=192.0.2.10, session=<y>, method=PLAIN, rip=203.0.113.5, lip=192.0.2.10, session=<x3AhoWOI9up/AAAB>", false}, // with elements in another order the account ends the line
		{"exim: greeting", "exim4", "login authenticator failed for (x) [198.51.100.66]: 535 Incorrect authentication data (set_id=y) [203.0.113.5]: 535 Incorrect authentication data (set_id=z)", false},                                                     // Fail2ban issue 432
		{"courier: user", "imapd", "LOGIN FAILED, user=x, ip=[198.51.100.66], ip=[::ffff:203.0.113.5], port=[40022]", true},

		{"dropbear: user", "dropbear", "Bad password attempt for 'x' from 198.51.100.66:22' from 203.0.113.5:40022", true}, // Fail2ban issue 432
		{"vsftpd: user", "vsftpd", `Sun Nov 22 10:00:00 2026 [pid 1] [x] FAIL LOGIN: Client "198.51.100.66"] FAIL LOGIN: Client "203.0.113.5"`, false},
		{"PAM: remote user", "smbd", "pam_unix(samba:auth): authentication failure; logname= uid=0 euid=0 tty=samba ruser=x rhost=198.51.100.66  user=y rhost=203.0.113.5  user=x", false},
		{"PAM: user", "sshd", "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.5  user=x rhost=198.51.100.66  user=root", true},
		{"proftpd: user", "proftpd", "192.0.2.10 (203.0.113.5[203.0.113.5]) - USER a (198.51.100.66[198.51.100.66]) - USER b (Login failed): Incorrect password (Login failed): No such user found", true},
		{"pure-ftpd: user", "pure-ftpd", "(?@203.0.113.5) [WARNING] Authentication failed for user [x@198.51.100.66) [WARNING] Authentication failed for user [root]", true},
		{"asterisk: display name", "asterisk", `NOTICE[1234]: chan_sip.c:16123 in handle_request_register: Registration from '"x' failed for '198.51.100.66:5060' - Wrong password" <sip:1@192.0.2.10>' failed for '203.0.113.5:5060' - Wrong password`, true},

		// A name in the DNS is its owner's to choose.
		{"sshd: name of the host", "sshd", "reverse mapping checking getaddrinfo for x [198.51.100.66] failed - POSSIBLE BREAK-IN ATTEMPT! [203.0.113.5] failed - POSSIBLE BREAK-IN ATTEMPT!", true},
		{"sshd: name for the peer", "sshd", "Failed password for root from 198.51.100.66.example.net port 40022 ssh2", false},
		{"named: query", "named", "client @0x7f1c5c0d2f68 203.0.113.5#40022 (client 198.51.100.66#1 (x): query 'y): query (cache) 'client 198.51.100.66#1 (x): query 'y/A/IN' denied", true},
		{"kernel: a quoted packet", "kernel", "[UFW BLOCK] IN=eth0 OUT= MAC= SRC=203.0.113.5 DST=192.0.2.10 LEN=56 TTL=57 ID=0 PROTO=ICMP TYPE=3 CODE=3 [SRC=198.51.100.66 DST=192.0.2.10 LEN=68 PROTO=UDP SPT=53 DPT=40000 LEN=48 ] ", true},
	} {
		switch verdict := r.Detect([]byte(c.program), []byte(c.message), &f); {
		case verdict == Matched && f.Addr != netip.MustParseAddr(truePeer):
			t.Errorf("%s: %v is blamed", c.history, f.Addr)
		case (verdict == Matched) != c.found:
			t.Errorf("%s: %s", c.history, describe(verdict, &f))
		}
		if f.Service == nil {
			t.Errorf("%s: nobody knows the program %s", c.history, c.program)
		}
	}
}
