package daemon

import (
	"fmt"
	"slices"
	"time"
)

const (
	topicKeys    = "Keys and accounts over SSH"
	topicSuccess = "Those who get in at last"
	topicOutage  = "Our own outage"
	topicStale   = "One stale credential"
	topicWeb     = "Web: on whose behalf, and what is an answer"
	topicPage    = "A page elsewhere that sends its readers to us"
	topicMail    = "Mail"
	topicAttack  = "Attackers"
)

// Lines that several sequences have.
const (
	sshClosed   = "sshd Connection closed by authenticating user %s {A} port 40022 [preauth]"
	sshInvalid  = "sshd Invalid user %s from {A} port 40022"
	sshGone     = "sshd Connection closed by invalid user %s {A} port 40022 [preauth]"
	sshFailed   = "sshd Failed password for %s from {A} port 40022 ssh2"
	sshAccepted = "sshd Accepted %s for %s from {A} port 40022 ssh2"
	imapFailed  = "dovecot imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<%s>, method=PLAIN, rip={A}, lip=192.0.2.10, TLS, session=<x3AhoWOI9up/AAAB>"
	imapLogin   = "dovecot imap-login: Login: user=<%s>, method=PLAIN, rip={A}, lip=192.0.2.10, mpid=4711, TLS, session=<x3AhoWOI9up/AAAB>"
	saslFailed  = "postfix/smtpd warning: unknown[{A}]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=%s"
	saslLogin   = "postfix/smtpd 4Zx1Kq2bTLz9vXK: client=unknown[{A}], sasl_method=PLAIN, sasl_username=%s"
	browser     = `"-" "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"`
	request     = "nginx {A} - %s [22/Nov/2026:08:00:00 +0000] \"%s HTTP/1.1\" %d 512 " + browser
	unknownRcpt = "postfix/smtpd NOQUEUE: reject: RCPT from %s[{A}]: 550 5.1.1 <u{i}@example.org>: Recipient address rejected: User unknown in local recipient table; from=<%s> to=<u{i}@example.org> proto=ESMTP helo=<x>"
	relayDenied = "postfix/smtpd NOQUEUE: reject: RCPT from unknown[{A}]: 554 5.7.1 <a@example.net>: Relay access denied; from=<b@example.org> to=<a@example.net> proto=ESMTP helo=<pc>"
)

// unmatched is why nothing follows from lines that no rule matches.
const unmatched = "no rule matches such lines"

// own is why nothing follows from the failures of an account that got in before.
const own = "an account that got in from there within 30 days is not guessed"

func say(form string, values ...any) string { return fmt.Sprintf(form, values...) }

func honestSequences() []sequence {
	return slices.Concat(keySequences(), successSequences(), outageSequences(), staleSequences(), webSequences(), pageSequences(), mailSequences(), attackSequences())
}

func keySequences() []sequence {
	const why = "without a password the lines are weak"
	return []sequence{
		{topicKeys, "autossh: a tunnel whose key was taken off the server", repeat(40, 30*time.Second, say(sshClosed, "tunnel")), "", why},
		{topicKeys, "the same for a day", repeat(2880, 30*time.Second, say(sshClosed, "tunnel")), "", why},
		{topicKeys, "the same for an account that is gone", repeat(40, 30*time.Second, say(sshInvalid, "tunnel"), say(sshGone, "tunnel")), "", why},
		{topicKeys, "an rsync job whose key is not on the server", repeat(48, time.Hour, "sshd Received disconnect from {A} port 40022:11: disconnected by user [preauth]", "sshd Disconnected from authenticating user backup {A} port 40022 [preauth]"), "", why},
		{topicKeys, "Jenkins (JSch) polls with a changed credential", repeat(20, time.Minute, "sshd Received disconnect from {A} port 40022:3: com.jcraft.jsch.JSchException: Auth fail [preauth]", "sshd Disconnected from authenticating user git {A} port 40022 [preauth]"), "", why},
		{topicKeys, "an agent with eight keys, at eight logins", repeat(8, time.Minute, "sshd error: maximum authentication attempts exceeded for dan from {A} port 40022 ssh2 [preauth]", "sshd Disconnecting authenticating user dan {A} port 40022: Too many authentication failures [preauth]"), "", why},
		{topicKeys, "agents that offer keys, LogLevel VERBOSE", repeat(200, 3*time.Second, "sshd Failed publickey for git from {A} port 40022 ssh2: ED25519 SHA256:xs2xWmE1vTmyz0hGDNsE4yPoQhOnmRJuLMw9XxHTDf0"), "", "a key that is offered is not an attempt"},
		{topicKeys, "a job for an account that may not log in (AllowUsers)", repeat(40, time.Minute, "sshd User tunnel from {A} not allowed because not listed in AllowUsers", say(sshGone, "tunnel")), "", why},
		{topicKeys, "Ansible for four accounts that are not there any more", repeat(24, 15*time.Minute, say(sshInvalid, "ops{i%4}"), say(sshGone, "ops{i%4}")), "", "it takes five accounts"},
		{topicKeys, "clients after a new installation of the server", repeat(60, time.Minute, "sshd Received disconnect from {A} port 40022:9: Host key verification failed [preauth]"), "", why},
		{topicKeys, "a monitor that looks whether port 22 is open", repeat(1440, time.Minute, "sshd Connection closed by {A} port 40022 [preauth]"), "", "it never says who it is"},
		{topicKeys, "a monitor that speaks HTTP to port 22", repeat(120, time.Minute, "sshd banner exchange: Connection from {A} port 40022: invalid format"), "", "any page has its readers' browsers do that"},
		{topicKeys, "a host whose name does not fit its address", repeat(500, time.Second, `sshd Nasty PTR record "192.0.2.1" is set up for {A}, ignoring`), "", "that is its provider's doing"},
		{topicKeys, "a client with old algorithms only", repeat(200, 20*time.Second, "sshd Unable to negotiate with {A} port 40022: no matching host key type found. Their offer: ssh-rsa [preauth]"), "", "a rate of 300 in 10 minutes"},
		{topicKeys, "somebody who mistypes four times and gives up", repeat(4, 20*time.Second, say(sshFailed, "dan")), "", "five wrong passwords in 10 minutes are guessing"},
		{topicKeys, "somebody who mistypes ten times and gives up", repeat(10, 20*time.Second, say(sshFailed, "dan")), "ssh-bruteforce", "nothing distinguishes it from guessing, unless the network is in trusted"},
	}
}

func successSequences() []sequence {
	office := say(sshFailed, "u{i}")
	return []sequence{
		{topicSuccess, "an office with one address: six mistype once, each gets in 6 s later", repeat(6, 80*time.Second, office, "+6s "+say(sshAccepted, "password", "u{i}")), "", "a success takes back the failures of its account"},
		{topicSuccess, "the same every half hour, for a day", repeat(48, 30*time.Minute, office, "+6s "+say(sshAccepted, "password", "u{i}")), "", "a success takes back the failures of its account"},
		{topicSuccess, "four mistyped passwords, and in", slices.Concat(repeat(4, 10*time.Second, say(sshFailed, "dan")), shifted(time.Minute, repeat(1, 0, say(sshAccepted, "password", "dan"))), shifted(2*time.Minute, repeat(4, 10*time.Second, say(sshFailed, "dan")))), "", "a success takes back up to five failures"},
		{topicSuccess, "one who mistypes twice at each of ten logins a day", repeat(10, 40*time.Minute, say(sshFailed, "dan"), "+5s "+say(sshFailed, "dan"), "+12s "+say(sshAccepted, "password", "dan")), "", "a success takes back up to five failures"},
		{topicSuccess, "a keyboard-interactive login with PAM's lines", repeat(9, time.Minute, "sshd pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={A}  user=dan", "+1s sshd error: PAM: Authentication failure for dan from {A}", "+8s "+say(sshAccepted, "keyboard-interactive/pam", "dan")), "", "a success takes back up to five failures"},
		{topicSuccess, "a carrier's NAT: 12 customers fail once, 400 log in", merged(repeat(12, time.Hour, say(imapFailed, "f{i}@example.org")), repeat(400, 2*time.Minute, say(imapLogin, "c{i}@example.org"))), "", "more accounts get in than fail"},
		{topicSuccess, "an office of 20: every second mistypes the new password once", repeat(20, 25*time.Second, "+9s "+say(imapLogin, "u{i}@example.org"), say(imapFailed, "u{i}@example.org")), "", "a success takes back the failures of its account"},
		{topicSuccess, "a school of 30 pupils over SSH, half of whom mistype", merged(repeat(30, 10*time.Second, say(sshAccepted, "password", "p{i}")), repeat(15, 20*time.Second, "+3s "+say(sshFailed, "p{i}"))), "", "more accounts get in than fail"},
		{topicSuccess, "FTP: three who mistype before they get in", repeat(30, 30*time.Second, "vsftpd [u{i%3}] FAIL LOGIN: Client \"{A}\"", "+5s vsftpd [u{i%3}] OK LOGIN: Client \"{A}\""), "", "a success takes back the failures of its account"},
		{topicSuccess, "submission: a family whose programs fail once a day and then succeed", repeat(40, 40*time.Second, say(saslFailed, "f{i%5}@example.org"), "+10s "+say(saslLogin, "f{i%5}@example.org")), "", "a success takes back the failures of its account"},
	}
}

func outageSequences() []sequence {
	before := func(n int) []said {
		return many(n, func() []said { return repeat(1, 0, say(sshAccepted, "publickey", "deploy")+": ED25519 SHA256:AAAA") })
	}
	away := func(n int, lines ...string) []said {
		return merged(before(n), shifted(time.Hour, many(n, func() []said { return repeat(12, time.Minute, lines...) })))
	}
	imap := merged(many(8, func() []said { return repeat(4, time.Minute, say(imapLogin, "u{i}")) }),
		shifted(time.Hour, many(8, func() []said { return repeat(40, 10*time.Second, say(imapFailed, "u{i%4}")) })))
	return []sequence{
		{topicOutage, "LDAP is away: Ansible with right keys", repeat(6, time.Minute, say(sshInvalid, "deploy"), say(sshGone, "deploy")), "", "one account without a password"},
		{topicOutage, "SSSD is away: twelve addresses with right passwords", away(12, say(sshFailed, "deploy")), "", "held: five addresses that got in before fail, and more than get in"},
		{topicOutage, "LDAP is away: six offices of five people each", away(6, say(sshInvalid, "u{i%5}"), say(sshGone, "u{i%5}")), "", "held: five addresses that got in before fail, and more than get in"},
		{topicOutage, "RADIUS is away: mail programs of eight offices", imap, "", "held: five addresses that got in before fail, and more than get in"},
		{topicOutage, "Dovecot's authentication is away, for Postfix", repeat(200, 2*time.Second, "postfix/smtpd warning: unknown[{A}]: SASL LOGIN authentication failed: Connection lost to authentication server"), "", unmatched},
		{topicOutage, "SSSD is away on a server that four addresses use", away(4, say(sshFailed, "deploy")), "", own},
		{topicOutage, "the same, with accounts that were not there before", away(4, say(sshFailed, "staging")), "ssh-bruteforce", "four addresses are too few to distinguish an outage from an attack"},
	}
}

func staleSequences() []sequence {
	const one = "one account is not guessing, below 100 tries in 5 minutes"
	then := func(before, after []said) []said { return slices.Concat(before, shifted(time.Hour, after)) }
	return []sequence{
		{topicStale, "a monitor over SSH, password changed", then(repeat(10, time.Minute, say(sshAccepted, "password", "monitor")), repeat(1000, time.Minute, say(sshFailed, "monitor"))), "", own},
		{topicStale, "a backup over SSH, every quarter of an hour", then(repeat(1, 0, say(sshAccepted, "password", "backup")), repeat(96, 15*time.Minute, say(sshFailed, "backup"))), "", own},
		{topicStale, "the same, which never got in", repeat(96, 15*time.Minute, say(sshFailed, "backup")), "ssh-slow-bruteforce", "nothing distinguishes it from guessing"},
		{topicStale, "fifteen mail programs of an office, all passwords changed", then(repeat(15, time.Minute, say(imapLogin, "u{i}@example.org")), repeat(300, 4*time.Second, say(imapFailed, "u{i%12}@example.org"))), "", own},
		{topicStale, "four cameras that upload by FTP, passwords changed", then(repeat(4, time.Minute, "vsftpd [cam{i}] OK LOGIN: Client \"{A}\""), repeat(400, 30*time.Second, "vsftpd [cam{i%4}] FAIL LOGIN: Client \"{A}\"")), "", own},
		{topicStale, "Prometheus: three exporters that log in to Proxmox, an old password", repeat(120, 5*time.Second, say(request, "-", "POST /api2/json/access/ticket", 401)), "", "a 401 answers a request, not an attempt"},
		{topicStale, "an app that asks for a token once a second", repeat(280, time.Second, say(request, "-", "POST /api/auth", 401)), "", "a 401 answers a request, not an attempt"},
		{topicStale, "twelve calendars of an office, all passwords changed", repeat(240, 5*time.Second, say(request, "u{i%12}", "GET /dav/cal.ics", 401)), "", "20 accounts in 10 minutes"},
		{topicStale, "Prometheus: three exporters behind nginx, an old password", repeat(40, 15*time.Second, say(request, "prometheus", "GET /node0/metrics", 401), say(request, "prometheus", "GET /node1/metrics", 401), say(request, "prometheus", "GET /node2/metrics", 401)), "", "a 401 answers a request, not an attempt"},
		{topicStale, "Uptime checks with an old password", repeat(600, 10*time.Second, say(request, "check", "GET /private/", 401)), "", "a 401 answers a request, not an attempt"},
		{topicStale, "pip and an index of ours with an old token", repeat(200, time.Second, say(request, "ci", "GET /simple/p{i}/", 401)), "", "a 401 answers a request, not an attempt"},
		{topicStale, "a calendar program with an old password", repeat(900, 4*time.Second, say(request, "dan", "PROPFIND /dav/dan/c{i%9}/", 401)), "", "a 401 answers a request, not an attempt"},
		{topicStale, "a customer's mail server with an old relay password", repeat(60, 5*time.Second, say(saslFailed, "kunde@example.org")), "", one},
		{topicStale, "the same, for a day", repeat(17280, 5*time.Second, say(saslFailed, "kunde@example.org")), "", one},
		{topicStale, "four devices of a family, password changed", repeat(48, 5*time.Minute, slices.Repeat([]string{say(imapFailed, "fam@example.org"), "+2s " + say(imapFailed, "fam@example.org"), "+4s " + say(saslFailed, "fam@example.org")}, 4)...), "", one},
		{topicStale, "a phone with a stale password", repeat(480, 3*time.Minute, say(imapFailed, "dan@example.org")), "", one},
		{topicStale, "an office of nine such phones", repeat(480, 3*time.Minute, say(imapFailed, "u{i%9}@example.org")), "", "10 accounts in a day, or 10 tries at 3 accounts in 10 minutes"},
		{topicStale, "an FTP upload of a camera, password changed", repeat(1000, 10*time.Second, "vsftpd [cam] FAIL LOGIN: Client \"{A}\""), "", one},
		{topicStale, "ProFTPD: the same", repeat(1000, 10*time.Second, "proftpd 192.0.2.10 (desk.example.org[{A}]) - USER cam (Login failed): Incorrect password"), "", one},
		{topicStale, "Courier: a mail program", repeat(1000, 10*time.Second, "imapd LOGIN FAILED, user=dan@example.org, ip=[{A}], port=[40022]"), "", one},
		{topicStale, "Exim: a mail server with an old password", repeat(300, 5*time.Second, "exim login_server authenticator failed for (mail) [{A}]: 535 Incorrect authentication data (set_id=kunde@example.org)"), "", one},
		{topicStale, "MariaDB: an application with an old password", repeat(300, 5*time.Second, "mariadbd 12 [Warning] Access denied for user 'shop'@'{A}' (using password: YES)"), "", one},
		{topicStale, "MySQL: the same", repeat(300, 5*time.Second, "mysqld 2026-11-22T08:00:00.123456Z 12 [Note] [MY-010926] [Server] Access denied for user 'shop'@'{A}' (using password: YES)"), "", one},
		{topicStale, "Dropbear: a backup with an old password", repeat(300, 5*time.Second, "dropbear Bad password attempt for 'backup' from {A}:40022"), "", one},
		{topicStale, "Nextcloud: an app with a token that was revoked", repeat(300, 10*time.Second, `nextcloud {"reqId":"icEl09JwlHfYBLA69Wq4","level":2,"time":"2026-11-22T08:00:00+00:00","remoteAddr":"{A}","user":"--","app":"core","method":"POST","url":"/login","message":"Login failed: dan (Remote IP: {A})","userAgent":"x","version":"31.0.1.1"}`), "", one},
		{topicStale, "WordPress' app with an old password", repeat(300, 10*time.Second, "wordpress REST authentication failure for dan from {A}"), "", one},
		{topicStale, "Vaultwarden: a browser's extension", repeat(300, 10*time.Second, "vaultwarden [2026-11-22 08:00:00.123][vaultwarden::api::identity][ERROR] Username or password is incorrect. Try again. IP: {A}. Username: dan@example.org."), "", one},
		{topicStale, "OpenVPN: a router that dials again and again", repeat(300, 10*time.Second, "openvpn {A}:40022 TLS Auth Error: Auth Username/Password verification failed for peer"), "", one},
		{topicStale, "Asterisk: a telephone with an old password", repeat(300, 10*time.Second, "asterisk NOTICE[1234] chan_sip.c: Registration from '<sip:100@192.0.2.10>' failed for '{A}:5060' - Wrong password"), "", "anybody can send a datagram in another's name"},
	}
}

func webSequences() []sequence {
	const breadth = "10 requests for 5 different paths, or a tool's name"
	return []sequence{
		{topicWeb, "a page elsewhere with three images of ours", repeat(3, 300*time.Millisecond, say(request, "-", "GET /.env?{i}", 404)), "", breadth},
		{topicWeb, "a page elsewhere with a thousand images of ours", repeat(1000, 20*time.Millisecond, say(request, "-", "GET /.env?{i}", 404)), "", breadth},
		{topicWeb, "a page elsewhere with four paths, many times", repeat(400, 50*time.Millisecond, say(request, "-", "GET /x{i%4}/.git/config", 404)), "", breadth},
		{topicWeb, "Mastodon fetches previews of three links", repeat(3, time.Second, "nginx {A} - - [22/Nov/2026:08:00:00 +0000] \"GET /.env?{i} HTTP/1.1\" 404 512 \"-\" \"Mastodon/4.5.2 (http.rb/5.3.1; +https://social.example/)\""), "", breadth},
		{topicWeb, "a mail's pictures, fetched for its readers by their provider", repeat(200, time.Second, "nginx {A} - - [22/Nov/2026:08:00:00 +0000] \"GET /d{i}/.env HTTP/1.1\" 404 512 \"-\" \"Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)\""), "", "what fetches for others is weak"},
		{topicWeb, "a feed's pictures, fetched by readers' servers", repeat(200, time.Second, "nginx {A} - - [22/Nov/2026:08:00:00 +0000] \"GET /d{i}/.git/config HTTP/1.1\" 404 512 \"-\" \"Miniflux/2.2.2 (+https://miniflux.app)\""), "", "what fetches for others is weak"},
		{topicWeb, "a search engine follows links to us", repeat(200, time.Minute, "nginx {A} - - [22/Nov/2026:08:00:00 +0000] \"GET /wp-config.php.bak HTTP/1.1\" 404 512 \"-\" \"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)\""), "", breadth},
		{topicWeb, "an edge of a CDN, whose visitors are not in the log", merged(repeat(3, time.Second, say(request, "-", "GET /.env", 404)), repeat(100, time.Second, say(request, "-", "GET /p{i}", 200))), "", breadth},
		{topicWeb, "an edge of Cloudflare, used by many attackers", from("104.16.1.1", repeat(100, time.Second, say(request, "-", "GET /d{i}/.env", 404))), "", "its networks are known, and are never reported"},
		{topicWeb, "a webmail tab left open, Roundcube moved", repeat(600, time.Minute, say(request, "-", "GET /roundcube/?_task=mail&_action=refresh", 404)), "", breadth},
		{topicWeb, "the same, closed for an upgrade", repeat(600, time.Minute, say(request, "-", "GET /roundcube/?_task=mail&_action=refresh", 403)), "", breadth},
		{topicWeb, "ten editors log in to WordPress with a second factor", repeat(10, 40*time.Second, say(request, "-", "POST /wp-login.php", 200), "+8s "+say(request, "-", "POST /wp-login.php?action=validate_2fa", 302)), "", "50 forms in 10 minutes"},
		{topicWeb, "thirty editors whose sessions expired (interim login)", repeat(30, 15*time.Second, "nginx {A} - - [22/Nov/2026:08:00:00 +0000] \"POST /wp-login.php HTTP/1.1\" 200 512 \"https://blog.example/wp-login.php?interim-login=1&wp_lang=en_US\" \"Mozilla/5.0\""), "", "50 forms in 10 minutes"},
		{topicWeb, "an office resets passwords of WordPress", repeat(12, 30*time.Second, say(request, "-", "POST /wp-login.php?action=lostpassword", 200), "+20s "+say(request, "-", "POST /wp-login.php?action=resetpass", 200)), "", "50 forms in 10 minutes"},
		{topicWeb, "an app whose token expired asks /api/login", repeat(300, 15*time.Second, say(request, "-", "POST /api/login", 401)), "", "50 forms in 10 minutes"},
		{topicWeb, "Gradle asks our repository first", repeat(500, 300*time.Millisecond, say(request, "-", "GET /maven/org/a{i}/1.0/a-1.0.pom", 404)), "", "a 404 is an answer"},
		{topicWeb, "pip asks our index first", repeat(900, 300*time.Millisecond, say(request, "-", "GET /simple/p{i}/", 404)), "", "a 404 is an answer"},
		{topicWeb, "map tiles that are not there", repeat(3000, 50*time.Millisecond, say(request, "-", "GET /tiles/12/{i}/7.png", 404)), "", unmatched},
		{topicWeb, "an HLS player after the stream ended", repeat(3600, time.Second, say(request, "-", "GET /live/seg{i}.ts", 404)), "", "a 404 is an answer"},
		{topicWeb, "a player without a right to the stream", repeat(3600, time.Second, say(request, "-", "GET /live/seg{i}.ts", 403)), "", "a 403 is an answer"},
		{topicWeb, "an open tab that polls a page that moved", repeat(5000, time.Second, say(request, "-", "GET /api/status", 404)), "", "a 404 is an answer"},
		{topicWeb, "a download that is not there any more", repeat(1000, 200*time.Millisecond, say(request, "-", "GET /pool/p{i}.deb", 404)), "", "a 404 is an answer"},
		{topicWeb, "phpThumb: the pictures of every page", repeat(200, 500*time.Millisecond, say(request, "-", "GET /phpthumb/phpThumb.php?src=../../../images/a{i}.jpg&w=100", 200)), "", unmatched},
		{topicWeb, "a search box that asks at each key", repeat(60, 300*time.Millisecond, say(request, "-", "GET /search?q=union+select+a%%2C+b+from+t{i}", 200)), "", breadth},
		{topicWeb, "a search box in another language", repeat(60, 300*time.Millisecond, say(request, "-", "GET /suche{i}?suchbegriff=union+select+a%%2C+b", 200)), "", breadth},
		{topicWeb, "pages of forges and wikis about files of such names", repeat(20, 10*time.Second, say(request, "-", "GET /dan/app{i}/render/branch/main/.npmrc", 200), say(request, "-", "GET /app{i}/diff/.env", 200), say(request, "-", "GET /app{i}/~files/main/.env", 200), say(request, "-", "GET /wiki/{i}/.env", 200)), "", unmatched},
		{topicWeb, "an editor of .env.example in a forge", repeat(40, 20*time.Second, say(request, "-", "GET /dan/app/_edit/main/.env.example", 200)), "", unmatched},
		{topicWeb, "a browser of .env.example in Mercurial", repeat(40, 20*time.Second, say(request, "-", "GET /repo/file/tip/.env.example", 200)), "", unmatched},
		{topicWeb, "a Referer of another's page, on a hundred pictures", repeat(100, time.Second, "nginx {A} - - [22/Nov/2026:08:00:00 +0000] \"GET /logo.png HTTP/1.1\" 200 512 \"https://evil.example/?${jndi:ldap://x}\" \"Mozilla/5.0\""), "", breadth},
		{topicWeb, "examples of .env in what is published", repeat(40, 5*time.Second, say(request, "-", "GET /docs/p{i}/.env.example", 200), say(request, "-", "GET /dan/app/releases/download/v{i}/.env.dist", 200)), "", unmatched},
		{topicWeb, "a browser that takes our server for its proxy", repeat(200, 2*time.Second, say(request, "-", "GET http://www{i}.example.com/", 404), say(request, "-", "GET http://www.msftncsi.com/ncsi.txt?{i}", 404)), "", "a proxy that is set wrong does that for its people"},
		{topicWeb, "comments on closed posts that a page has its readers send", repeat(9, time.Second, "wordpress Comment attempt on closed post {i} from {A}"), "", "10 in 10 minutes"},
	}
}

// pageSequences are a thousand images of a page, or what a page posts, on each port that browsers reach: its readers' browsers speak HTTP
// or TLS there.
func pageSequences() []sequence {
	const (
		thousand, pause = 1000, 20 * time.Millisecond
		protocol        = "any page has its readers' browsers do that"
		web             = "what is weak of a web server is held against nobody"
	)
	return []sequence{
		{topicPage, "sshd on a port that browsers reach (2222)", repeat(thousand, pause, "sshd banner exchange: Connection from {A} port 40022: invalid format"), "", protocol},
		{topicPage, "the same, and what sshd says of it before 7.9", repeat(thousand, pause, "sshd Bad protocol version identification 'GET /{i} HTTP/1.1' from {A} port 40022"), "", protocol},
		{topicPage, "the same, where the browser gives up", repeat(thousand, pause, "sshd Connection closed by {A} port 40022 [preauth]"), "", protocol},
		{topicPage, "the same, with more at once than sshd takes", repeat(thousand, pause, "sshd drop connection #10 from [{A}]:40022 on [192.0.2.10]:2222 past MaxStartups"), "", protocol},
		{topicPage, "Dropbear on such a port", repeat(thousand, pause, "dropbear Exit before auth from <{A}:40022>: Incompatible remote version 'GET / HTTP/1.1'"), "", protocol},
		{topicPage, "Squid", repeat(thousand, pause, "squid 1795300000.123      0 {A} NONE_NONE/400 3922 - error:invalid-request - HIER_NONE/- text/html"), "", protocol},
		{topicPage, "Squid, as a request for itself", repeat(thousand, pause, "squid 1795300000.123      0 {A} TCP_DENIED/403 3900 GET http://www.example.org:3128/{i} - HIER_NONE/- text/html"), "", protocol},
		{topicPage, "MongoDB", repeat(thousand, pause, `mongod {"t":{"$date":"2026-11-22T08:00:00.123+00:00"},"s":"I","c":"NETWORK","id":22988,"ctx":"conn12","msg":"Error receiving request from client. Ending connection from remote","attr":{"error":{"code":141,"codeName":"SSLHandshakeFailed","errmsg":"The client sent an HTTP request over a native MongoDB connection"},"remote":"{A}:40022","connectionId":12}}`), "", protocol},
		{topicPage, "OpenVPN by TCP", repeat(thousand, pause, "openvpn {A}:40022 WARNING: Bad encapsulated packet length from peer (18245), which must be > 0 and <= 1626 -- please ensure that --tun-mtu or --link-mtu is equal on both peers -- this condition could also indicate a possible active attack on the TCP link -- [Attempting restart...]"), "", protocol},
		{topicPage, "PostgreSQL", repeat(thousand, pause, `postgresql-json {"timestamp":"2026-11-22 08:00:00.123 UTC","pid":1234,"remote_host":"{A}","remote_port":40022,"error_severity":"LOG","state_code":"08P01","message":"invalid length of startup packet","backend_type":"not initialized","query_id":0}`), "", protocol},
		{topicPage, "Elasticsearch", repeat(thousand, pause, `elasticsearch {"type":"audit", "timestamp":"2026-11-22T08:00:00,123+0000", "node.id":"0RMNyghkQYCc_gVd1G6tZQ", "event.type":"rest", "event.action":"anonymous_access_denied", "origin.type":"rest", "origin.address":"{A}:40022", "url.path":"/_cat/indices", "request.method":"GET", "request.id":"qo04VI2qRzKrE1dlrsjYgw"}`), "", protocol},
		{topicPage, "Nextcloud, by a name of the page's that leads to us", repeat(thousand, pause, `nextcloud {"reqId":"icEl09JwlHfYBLA69Wq4","level":1,"time":"2026-11-22T08:00:00+00:00","remoteAddr":"{A}","user":"--","app":"core","method":"GET","url":"/","message":"Trusted domain error. \"{A}\" tried to access using \"evil.example\" as host.","userAgent":"Mozilla/5.0","version":"31.0.1.1"}`), "", protocol},
		{topicPage, "GitLab's programming interface", repeat(thousand, pause, `gitlab {"time":"2026-11-22T08:00:00.123Z","severity":"INFO","duration_s":0.01,"status":401,"method":"GET","path":"/api/v4/user","params":[],"host":"gitlab.example.org","remote_ip":"{A}","ua":"Mozilla/5.0","route":"/api/:version/user"}`), "", protocol},
		{topicPage, "endlessh on a port that browsers reach (2222)", repeat(thousand, pause, "endlessh 2026-11-22T08:00:00.123Z ACCEPT host=::ffff:{A} port=40022 fd=4 n=1/4096"), "", protocol},
		{topicPage, "Cowrie on such a port", repeat(thousand, pause, `cowrie {"eventid":"cowrie.session.connect","src_ip":"{A}","src_port":40022,"dst_ip":"192.0.2.10","dst_port":2222,"session":"a1b2c3d4e5f6","protocol":"ssh","message":"New connection: {A}:40022 (192.0.2.10:2222) [session: a1b2c3d4e5f6]","sensor":"trap1","timestamp":"2026-11-22T08:00:00.123456Z"}`), "", protocol},
		{topicPage, "OpenCanary's web page", repeat(thousand, pause, `opencanary {"dst_host": "192.0.2.10", "dst_port": 80, "logdata": {"HOSTNAME": "192.0.2.10", "PATH": "/index.html", "SKIN": "nasLogin", "USERAGENT": "Mozilla/5.0"}, "logtype": 3000, "node_id": "canary-1", "src_host": "{A}", "src_port": 40022, "utc_time": "2026-11-22 08:00:00.123456"}`), "", protocol},
		{topicPage, "a Referer that looks like an attack", repeat(thousand, pause, `nginx {A} - - [22/Nov/2026:08:00:00 +0000] "GET /logo.png?{i} HTTP/1.1" 200 512 "https://evil.example/?${jndi:ldap://x}" "Mozilla/5.0"`), "", web},
		{topicPage, "programs that are not there", repeat(thousand, pause, say(request, "-", "GET /cgi-bin/x{i}", 404)), "", web},
		{topicPage, "a search for what looks like an attack", repeat(thousand, pause, say(request, "-", "GET /search?q=union+select+a{i}%2C+b+from+t", 200)), "", web},
		{topicPage, "addresses in parameters", repeat(thousand, pause, say(request, "-", "GET /index.php?page=http://192.0.2.99/x.txt?", 200)), "", web},
		{topicPage, "a form posted to WordPress, as for a second factor", repeat(thousand, pause, say(request, "-", "POST /wp-login.php?action=validate_2fa", 200)), "", web},
		{topicPage, "pictures folders up", repeat(thousand, pause, say(request, "-", "GET /index.php?page=../../../data/list", 200)), "", web},
		{topicPage, "port 80 by TLS", repeat(thousand, pause, `nginx {A} - - [22/Nov/2026:08:00:00 +0000] "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03" 400 150 "-" "-"`), "", web},
		{topicPage, "requests that are too long", repeat(thousand, pause, say(request, "-", "GET /{i}", 400)), "", web},
	}
}

func mailSequences() []sequence {
	const answer = "mail that is not accepted is held against nobody"
	return []sequence{
		{topicMail, "a newsletter with 320 dead addresses of ours", repeat(320, 1700*time.Millisecond, say(unknownRcpt, "mail.example.com", "news@example.com")), "", answer},
		{topicMail, "a joe job: bounces for senders that we never had", repeat(2000, 200*time.Millisecond, say(unknownRcpt, "mx.example.net", "")), "", answer},
		{topicMail, "Outlook without \"my server requires authentication\"", merged(repeat(5, time.Second, relayDenied), shifted(30*time.Minute, repeat(5, time.Second, relayDenied))), "", "100 in an hour"},
		{topicMail, "a customer's web server that does not log in, a mail a minute", repeat(600, time.Minute, relayDenied), "", "100 in an hour"},
		{topicMail, "a mail server whose MX record was yesterday's", repeat(400, time.Second, "postfix/smtpd NOQUEUE: reject: RCPT from mail.example.net[{A}]: 454 4.7.1 <info@example.org>: Relay access denied; from=<a@example.net> to=<info@example.org> proto=ESMTP helo=<mail.example.net>"), "", answer},
		{topicMail, "our resolver is away: names of clients are not found", repeat(2000, 200*time.Millisecond, "postfix/smtpd NOQUEUE: reject: RCPT from unknown[{A}]: 450 4.7.25 Client host rejected: cannot find your hostname, [{A}]; from=<a@example.net> to=<info@example.org> proto=ESMTP helo=<mail.example.net>"), "", answer},
		{topicMail, "our resolver is away: sender domains are not found", repeat(2000, 200*time.Millisecond, "postfix/smtpd NOQUEUE: reject: RCPT from mail.example.net[{A}]: 450 4.1.8 <a@example.net>: Sender address rejected: Domain not found; from=<a@example.net> to=<info@example.org> proto=ESMTP helo=<mail.example.net>"), "", answer},
		{topicMail, "a provider on a blocklist that we ask", repeat(600, 500*time.Millisecond, "postfix/smtpd NOQUEUE: reject: RCPT from mail.example.net[{A}]: 554 5.7.1 Service unavailable; Client host [{A}] blocked using bl.example.com; from=<a@example.net> to=<info@example.org> proto=ESMTP helo=<mail.example.net>"), "", answer},
		{topicMail, "a monitor that looks whether port 25 answers", repeat(1440, time.Minute, "postfix/smtpd lost connection after CONNECT from unknown[{A}]"), "", "it does nothing"},
		{topicMail, "a mail program without TLS where it is asked for", repeat(200, 30*time.Second, "dovecot imap-login: Disconnected (tried to use disallowed plaintext auth): user=<>, rip={A}, lip=192.0.2.10, session=<x3AhoWOI9up/AAAB>"), "", "a rate of 300 in 10 minutes"},
		{topicMail, "a load balancer that checks IMAP", repeat(2000, 5*time.Second, "dovecot imap-login: Disconnected (no auth attempts in 0 secs): user=<>, rip={A}, lip=192.0.2.10, session=<x3AhoWOI9up/AAAB>"), "", "a rate of 300 in 10 minutes"},
	}
}

func attackSequences() []sequence {
	return []sequence{
		{topicAttack, "passwords of root over SSH", repeat(5, 2*time.Second, say(sshFailed, "root")), "ssh-bruteforce", "5 in 10 minutes"},
		{topicAttack, "the same, slowly", repeat(12, 90*time.Minute, say(sshFailed, "root")), "ssh-slow-bruteforce", "12 in a day"},
		{topicAttack, "accounts over SSH, without a password", repeat(5, 5*time.Minute, say(sshInvalid, "g{i}"), say(sshGone, "g{i}")), "ssh-user-enumeration", "5 accounts in an hour"},
		{topicAttack, "one who has an account, and guesses root's password", repeat(6, 20*time.Second, say(sshFailed, "root"), "+2s "+say(sshAccepted, "password", "mallory")), "ssh-bruteforce", "a success excuses no other account"},
		{topicAttack, "keys without end, for root", repeat(300, time.Second, say(sshClosed, "root")), "flood", "300 weak lines in 10 minutes"},
		{topicAttack, "a hundred passwords of one mailbox", repeat(100, 2*time.Second, say(imapFailed, "ceo@example.org")), "login-hammering", "100 in 5 minutes"},
		{topicAttack, "passwords of three mailboxes", repeat(10, 30*time.Second, say(imapFailed, "u{i%3}@example.org")), "login-bruteforce", "10 tries at 3 accounts in 10 minutes"},
		{topicAttack, "a password for many mailboxes, slowly", repeat(10, 2*time.Hour, say(saslFailed, "u{i}@example.org")), "login-slow-bruteforce", "10 accounts in a day"},
		{topicAttack, "a carrier's customer who tries 30 mailboxes, among 400 who log in", merged(repeat(30, 20*time.Minute, say(imapFailed, "f{i}@example.org")), repeat(400, 2*time.Minute, say(imapLogin, "c{i}@example.org"))), "login-slow-bruteforce", "at most 20 accounts excuse others"},
		{topicAttack, "passwords of WordPress", repeat(50, 5*time.Second, say(request, "-", "POST /wp-login.php", 200)), "web-login-bruteforce", "50 in 10 minutes"},
		{topicAttack, "passwords of a web server", repeat(300, 200*time.Millisecond, say(request, "admin", "GET /private/", 401)), "http-auth-bruteforce", "300 in 5 minutes"},
		{topicAttack, "a password for twenty accounts of a web server", repeat(20, 10*time.Second, say(request, "u{i}", "GET /private/", 401)), "http-auth-spraying", "20 accounts in 10 minutes"},
		{topicAttack, "passwords of an interface for programs", repeat(300, 900*time.Millisecond, say(request, "-", "POST /api/login", 401)), "http-auth-bruteforce", "300 in 5 minutes"},
		{topicAttack, "a search for what is not there", repeat(10, time.Second, say(request, "-", "GET /d{i}/.env", 404)), "web-probing", "10 requests for 5 paths in an hour"},
		{topicAttack, "Log4Shell in the name of the browser", repeat(3, time.Second, "nginx {A} - - [22/Nov/2026:08:00:00 +0000] \"GET / HTTP/1.1\" 200 512 \"-\" \"${jndi:ldap://192.0.2.99/a}\""), "web-tools", "no page can make a browser say that"},
		{topicAttack, "an open relay is looked for", repeat(100, 30*time.Second, relayDenied), "mail-abuse", "100 in an hour"},
		{topicAttack, "a scanner that speaks other protocols to port 25", repeat(20, 10*time.Second, "postfix/smtpd warning: non-SMTP command from unknown[{A}]: GET / HTTP/1.1"), "probes", "20 in 10 minutes; browsers refuse that port"},
		{topicAttack, "the same to port 22", repeat(290, 2*time.Second, "sshd banner exchange: Connection from {A} port 40022: invalid format"), "", "nothing distinguishes it from a page elsewhere that sends its readers to a port of sshd"},
		{topicAttack, "passwords for a honeypot (Cowrie)", repeat(20, 10*time.Second, `cowrie {"eventid":"cowrie.login.failed","username":"root","password":"x{i}","message":"login attempt [root/x{i}] failed","sensor":"trap1","timestamp":"2026-11-22T08:00:00.123456Z","src_ip":"{A}","session":"a1b2c3d4e5f6"}`), "probes", "20 in 10 minutes"},
	}
}
