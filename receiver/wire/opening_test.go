package wire

import (
	"strings"
	"testing"
)

// What another protocol begins with is known for what it is, however it comes in pieces; what syslog senders begin with,
// header or not, is not taken for it.
func TestOpens(t *testing.T) {
	for _, foreign := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /ingest?x=<38> HTTP/1.1\r\n", "\r\n\r\nPUT /a HTTP/1.0\r\n", "get / http/1.1\n",
		"OPTIONS * HTTP/1.1\r\n", "CONNECT db.example.org:443 HTTP/1.1\r\n", "GET http://192.0.2.1/ HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"BREW /pot HTTP/1.1\r\n", "POST  / HTTP/1.1\r\n", "GET /" + strings.Repeat("a", 70000),
		"OPTIONS rtsp://x/ RTSP/1.0\r\n", "INVITE sip:a@example.org SIP/2.0\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x16", "\x80\x2e\x01\x00\x02", "\x03\x00\x00\x13", "\x05\x01\x00", "\x00\x00\x00\x08\x04\xd2\x16\x2f",
		"EHLO mail.example.org\r\n", "helo x\r\n", "STARTTLS\r\n", "MAIL FROM:<a@example.org>\r\n", "RCPT TO:<a@example.org>\r\n",
		"SSH-2.0-OpenSSH_9.2p1\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 514\r\n", "PROXY UNKNOWN\r\n", "*3\r\n$3\r\nSET\r\n",
	} {
		if got := Opens([]byte(foreign), false); got != Foreign {
			t.Errorf("%.40q: %d", foreign, got)
		}
		for i := range min(len(foreign), 200) {
			if Opens([]byte(foreign[:i]), false) == Syslog {
				t.Errorf("%.40q: taken for syslog after %d bytes", foreign, i)
			}
		}
	}
	for _, ours := range []string{
		"<38>Nov 22 05:40:00 web1 sshd[7]: GET / HTTP/1.1", "<1>a\n", "5 <38>x", "12", "\n\n<1>a", "\n\x00<1>a\n",
		"Nov 22 05:40:00 web1 app: \x1b[32mok HTTP/1.1 done\n", "2026-11-22T05:40:00Z web1 app: POST / HTTP/1.1\n", "*Nov  1 05:40:00: %SYS-5-CONFIG_I: x\n",
		"firewall,info input: in:ether1\n", "GET it done\n", "POST mortem of /dev/sda\n", "mail from: nobody, said the log\n", "hello world\n",
		"Report /var/log/x written\n", "proxy connection to upstream lost\n", "search *.txt: 3 found\n", "options /etc/x loaded\n",
		"ERROR /var is full\n", "<stream>\n", "-5 <38>x\n", "caf\u00e9\n", strings.Repeat("x", 9000), "a" + strings.Repeat(" ", 9000),
	} {
		if got := Opens([]byte(ours), false); got != Syslog {
			t.Errorf("%.40q: %d", ours, got)
		}
	}
	for text, want := range map[string]Opening{"": Undecided, "\r\n": Undecided, "hel": Undecided, "GET": Undecided, "<": Undecided} {
		if got := Opens([]byte(text), false); got != want {
			t.Errorf("%q: %d", text, got)
		}
	}
	if Opens([]byte("HELO"), true) != Foreign || Opens([]byte("hello"), true) != Syslog {
		t.Error("at the end of the stream")
	}
}
