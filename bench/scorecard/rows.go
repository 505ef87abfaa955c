package main

// promise is a row of the scorecard: what tattled promises, under which fault, and the figure that it has to reach.
type promise struct {
	row     int
	promise string
	fault   string
	goal    string
	waits   string // why there is no test yet; "" if there has to be one
}

// promises are the rows, in order.
var promises = []promise{
	{row: 1, promise: "reported once a window, whatever dies", fault: "SIGKILL at commit, send and answer", goal: "0 lost, 0 accepted twice"},
	{row: 2, promise: "a power cut loses no committed report", fault: "power cut, unsynced sectors torn and reordered", goal: "0 lost, 0 files that cannot be opened; without sync the test fails"},
	{row: 3, promise: "an outage of the API loses nothing", fault: "500, 429, 401, hang, reset, garbage, slow, TLS, DNS", goal: "all delivered 60 s after at most; 1 request a second meanwhile at most"},
	{row: 4, promise: "the quota goes to the worst", fault: "5,000 addresses, a quota of 1,000", goal: "1,000 sent at most, none after a 429 until the reset, the rest counted"},
	{row: 5, promise: "UDP survives a restart", fault: "killed, restarted and upgraded under load", goal: "20,000 of 20,000"},
	{row: 6, promise: "TCP survives a restart", fault: "killed, restarted and upgraded under load", goal: "19,990 of 20,000 at least, none twice; upgrade 20,000"},
	{row: 7, promise: "TLS survives a restart", fault: "killed, restarted and upgraded under load", goal: "99.5 %; an orderly restart 100 %", waits: "there is no TLS listener yet"},
	{row: 8, promise: "of the journal nothing is lost and nothing counted twice", fault: "SIGKILL with rotation and vacuum, journald killed, machine cut", goal: "0 while on disk; each gap counted"},
	{row: 9, promise: "no deleted journal file is held", fault: "50 times vacuum", goal: "0"},
	{row: 10, promise: "log files through rotation", fault: "create, copytruncate, rename and compress, inode reuse, cut mid-line, 1,000 files, symbolic links", goal: "create: 0 lost, 0 twice; copytruncate counted"},
	{row: 11, promise: "a restart finds its place", fault: "down for 10 minutes, 100,000 lines", goal: "0 lost, 50,000 lines a second"},
	{row: 12, promise: "a full disk", fault: "a file system of 1 MB fills, and is freed", goal: "no crash, alarm and resumption within 10 s"},
	{row: 13, promise: "I/O errors", fault: "the n-th sync or write fails", goal: "no false \"reported\", opens again"},
	{row: 14, promise: "a damaged state file", fault: "cut, flipped, zeros, both metas", goal: "starts within 2 s, damaged file kept aside, alarm; flips found"},
	{row: 15, promise: "a process that is stuck", fault: "SIGSTOP, a deadlock", goal: "watchdog within 35 s, UDP kept"},
	{row: 16, promise: "clock jumps", fault: "3 h back and ahead, 10 years, a step within a window", goal: "0 twice, one window late at most, no busy loop, no mass expiry"},
	{row: 17, promise: "no DNS, no network", fault: "cut off, the resolver does not answer for an hour", goal: "as many lines a second, connections accepted"},
	{row: 18, promise: "slow clients", fault: "10,000 connections that hold back", goal: "an honest one within 1 s, 100 MB more at most, descriptors back"},
	{row: 19, promise: "hostile input", fault: "a line of 1 GB, datagrams of 64 KiB, bad UTF-8, NUL, ESC, fuzzing", goal: "8 MB more at most, counted, the next line seen"},
	{row: 20, promise: "a flood of addresses", fault: "a million, IPv4 and IPv6 by /64", goal: "RSS 256 MB at most, file bounded, the worst reported, series constant"},
	{row: 21, promise: "a bad configuration", fault: "200 mutations, at reload and at start", goal: "refused with the line; the old one goes on"},
	{row: 22, promise: "GeoIP files swapped", fault: "renamed, cut, overwritten, garbage", goal: "0 crashes, 0 wrong answers"},
	{row: 23, promise: "the package", fault: "offline install, upgrade, downgrade, remove, purge, edited configuration, Debian 12 and 13", goal: "5 s each at most, nothing left, an older binary refuses a newer file"},
	{row: 24, promise: "the sandbox", fault: "systemd-analyze security, seccomp over the whole suite", goal: "1.1 at most, no capability, no kill"},
	{row: 25, promise: "a soak", fault: "traffic, scrapes and a fault a minute", goal: "1 MB an hour at most, descriptors ±0, 0 lost by the ledger"},
}
