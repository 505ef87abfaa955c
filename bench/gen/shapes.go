package main

// shape is a sort of line: how often it comes, what it is, who logs it, and its text, with {fields} that source.fill knows.
type shape struct {
	weight int
	// class is the truth about the line, "" for one that tells of no peer:
	//   ssh-...    a log-in that failed
	//   login      one that did not
	//   fw-block   a refused packet; -web: TCP to 80 or 443; -udp, -icmp: those
	//   fw-accept  an allowed one
	class    string
	program  program
	severity int
	text     string
}

// program is who logs.
type program struct {
	tag, unit string
	facility  int
}

// The programs that speak in the corpora.
var (
	sshd    = program{"sshd", "ssh.service", 10}
	cron    = program{"CRON", "cron.service", 10}
	sudo    = program{"sudo", "session-3.scope", 10}
	systemd = program{"systemd", "init.scope", 3}
	logind  = program{"systemd-logind", "systemd-logind.service", 4}
	kernel  = program{"kernel", "", 0}
	nginx   = program{"nginx", "nginx.service", 23}
	docker  = program{"dockerd", "docker.service", 3}
	app     = program{"app", "app.service", 1}
	smtpd   = program{"postfix/smtpd", "postfix@-.service", 2}
	dhcp    = program{"dhclient", "networking.service", 3}
	dbus    = program{"dbus-daemon", "dbus.service", 3}
)

const (
	pamFailure = "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={attacker} "
)

var sshAttacks = []shape{
	{22, "ssh-failed", sshd, 6, "Failed password for invalid user {guess} from {attacker} port {port} ssh2"},
	{20, "ssh-failed", sshd, 6, "Failed password for root from {attacker} port {port} ssh2"},
	{18, "ssh-invalid", sshd, 6, "Invalid user {guess} from {attacker} port {port}"},
	{8, "ssh-closed", sshd, 6, "Connection closed by authenticating user root {attacker} port {port} [preauth]"},
	{4, "ssh-closed", sshd, 6, "Connection closed by invalid user {guess} {attacker} port {port} [preauth]"},
	{6, "ssh-disconnected", sshd, 6, "Disconnected from authenticating user root {attacker} port {port} [preauth]"},
	{4, "ssh-disconnected", sshd, 6, "Disconnected from invalid user {guess} {attacker} port {port} [preauth]"},
	{5, "ssh-bye", sshd, 6, "Received disconnect from {attacker} port {port}:11: Bye Bye [preauth]"},
	{7, "ssh-pam", sshd, 5, pamFailure + " user=root"},
	{6, "ssh-pam", sshd, 5, pamFailure},
}

var authOthers = []shape{
	{15, "login", sshd, 6, "Accepted publickey for {staff} from {admin} port {port} ssh2: ED25519 SHA256:{base64:43}"},
	{12, "", sshd, 6, "pam_unix(sshd:session): session opened for user {staff}(uid={below:1000}) by (uid=0)"},
	{12, "", sshd, 6, "pam_unix(sshd:session): session closed for user {staff}"},
	{6, "", cron, 6, "(root) CMD (   test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.hourly; })"},
	{12, "", cron, 6, "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"},
	{11, "", cron, 6, "pam_unix(cron:session): session closed for user root"},
	{8, "", systemd, 6, "Started session-{below:99999}.scope - Session of User {staff}."},
	{10, "", logind, 6, "New session {below:99999} of user {staff}."},
	{7, "", sudo, 5, "  {staff} : TTY=pts/{below:9} ; PWD=/srv ; USER=root ; COMMAND=/usr/bin/systemctl status nginx"},
	{7, "", sudo, 6, "pam_unix(sudo:session): session opened for user root(uid=0) by {staff}(uid=1000)"},
}

var kernelOthers = []shape{
	{1, "", kernel, 6, "{uptime}veth{hex:7}: entered promiscuous mode"},
	{1, "", kernel, 6, "{uptime}docker0: port {below:20}(veth{hex:7}) entered forwarding state"},
	{1, "", kernel, 6, "{uptime}IPv6: ADDRCONF(NETDEV_CHANGE): veth{hex:7}: link becomes ready"},
	{1, "", kernel, 6, `{uptime}audit: type=1400 audit(1795310000.100:{below:99999}): apparmor="STATUS" operation="profile_replace" name="docker-default"`},
	{1, "", kernel, 6, "{uptime}EXT4-fs (sda1): re-mounted. Opts: errors=remount-ro. Quota mode: none."},
	{1, "", kernel, 6, "{uptime}perf: interrupt took too long ({below:9000} > 2500), lowering kernel.perf_event_max_sample_rate to 79750"},
}

// serverOthers is what a server logs while nobody attacks it; the last two stand for whole tables.
var serverOthers = []shape{
	{25, "", nginx, 6, `{admin} - - "GET /api/v1/items/{below:1000000} HTTP/1.1" 200 {below:50000} "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"`},
	{15, "", docker, 6, `time="2026-11-21T10:00:00.{digits:9}Z" level=info msg="ignoring event" container={hex:64} module=libcontainerd topic=/tasks/delete`},
	{15, "", app, 6, `{"level":"info","ts":1795300000,"caller":"http/server.go:212","msg":"request done","path":"/v1/orders","dur_ms":{below:900},"req_id":"{hex:32}"}`},
	{10, "", smtpd, 6, "connect from mail{below:500}.example.net[{admin}]"},
	{7, "", systemd, 6, `run-docker-runtime\x2drunc-moby-{hex:64}-runc.{hex:6}.mount: Deactivated successfully.`},
	{6, "", dhcp, 6, "DHCPREQUEST for 192.168.1.10 on eth0 to 192.168.1.1 port 67"},
	{4, "", dbus, 6, "[system] Successfully activated service 'org.freedesktop.timedate1'"},
	{8, "", kernel, 6, ""},
	{10, "", sshd, 6, ""},
}

// The parts of a packet filter's line: who writes it, addresses by version, and what was sent.
var (
	refusals = []shape{
		{45, "fw-block", kernel, 4, "[UFW BLOCK] "},
		{15, "fw-block", kernel, 4, "nft-drop: "},
		{10, "fw-block", kernel, 4, "iptables denied: "},
		{10, "fw-accept", kernel, 4, "[UFW ALLOW] "},
	}
	packetV4 = "IN=eth0 OUT= MAC={mac} SRC={attacker} DST=192.168.1.10 LEN={below:120} TOS=0x00 PREC=0x00 TTL={below:250} ID={below:65536} {df}"
	packetV6 = "IN=eth0 OUT= MAC={mac} SRC={attacker} DST=2001:db8:0:1::10 LEN={below:120} TC=0 HOPLIMIT={below:99} FLOWLBL={below:1000000} "
	payloads = []shape{
		{8, "", kernel, 4, "PROTO=TCP SPT={port} DPT={service} WINDOW={below:65536} RES=0x00 SYN URGP=0 "},
		{1, "-udp", kernel, 4, "PROTO=UDP SPT={port} DPT={service} LEN={below:68} "},
		{1, "-icmp", kernel, 4, "PROTO={icmp} CODE=0 ID={below:65536} SEQ=1 "},
	}
)
