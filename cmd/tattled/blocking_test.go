package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tattled/machine"
)

// shBlock is a block of commands in a document.
var shBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// The commands of docs/blocking.md do what it says: run in a network of their own, against a daemon that was attacked, they leave the
// attacker in the sets of nftables, of ipset and of fail2ban.
func TestBlocking(t *testing.T) {
	for _, program := range []string{"nft", "ipset", "iptables", "ip6tables", "fail2ban-client", "unshare", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			machine.Lacks(t, "the commands need it: ", err)
		}
	}
	if err := exec.Command("unshare", "--net", "true").Run(); err != nil {
		machine.Lacks(t, "no network of its own: ", err)
	}
	document, err := os.ReadFile("../../docs/blocking.md")
	if err != nil {
		t.Fatal(err)
	}
	root := sharedTemp(t)
	socket := filepath.Join(root, "control.sock")
	attackedDaemon(t, socket)
	programs := blockingPrograms(t, root, socket)
	want := map[string]string{"nftables.d": "45.148.10.7", "ipset list": "45.148.10.7", "fail2ban-client": "45.148.10.7", "timer": "", "openssl": ""}
	blocks := shBlock.FindAllStringSubmatch(string(document), -1)
	if len(blocks) != len(want) {
		t.Errorf("%d blocks of commands, want %d", len(blocks), len(want))
	}
	for _, b := range blocks {
		for sign, result := range want {
			if !strings.Contains(b[1], sign) || sign == "timer" && !strings.Contains(b[1], ".timer") {
				continue
			}
			delete(want, sign)
			script := strings.ReplaceAll(b[1], "/etc/", root+"/etc/")
			if sign == "fail2ban-client" {
				script = strings.ReplaceAll(script, "fail2ban-client reload", "fail2ban-client start") + "\nfail2ban-client stop"
			}
			cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-euxc", script)
			cmd.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), result) {
				t.Errorf("%v, and %q should be in the output of\n%s\n%s", err, result, script, out)
			}
			break
		}
	}
	for sign := range want {
		t.Errorf("no block has %q", sign)
	}
}

// attackedDaemon starts a daemon that would have reported 45.148.10.7 and a neighbour by IPv6.
func attackedDaemon(t *testing.T, socket string) {
	t.Helper()
	p := start(t, "run", "--config", quick(t, "control: {path: "+socket+"}\n")).ready()
	conn := p.dial()
	for _, addr := range []string{"45.148.10.7", "2a02:c207:3000:1::7"} {
		for i := range 6 {
			if _, err := fmt.Fprintf(conn, "<38>%s web1 sshd[%d]: Failed password for invalid user u%d from %s port %d ssh2\n", time.Now().Format(time.Stamp), i, i, addr, 40000+i); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, 10*time.Second, "two dry-run reports", func() bool { return p.metric(`tattled_reports_total{destination="abuseipdb",result="dry-run"}`) == 2 })
}

// blockingPrograms makes a folder with the programs that a document calls by their names: tattled, which is this test, and a fail2ban
// of its own.
func blockingPrograms(t *testing.T, root, socket string) string {
	t.Helper()
	dir := filepath.Join(root, "bin")
	for _, d := range []string{dir, filepath.Join(root, "etc/tattled"), filepath.Join(root, "etc/systemd/system")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("cp", "-r", "/etc/fail2ban", filepath.Join(root, "etc/fail2ban")).CombinedOutput(); err != nil {
		machine.Lacks(t, "the configuration of fail2ban cannot be copied: ", string(out))
	}
	jails, _ := filepath.Glob(filepath.Join(root, "etc/fail2ban/jail.d/*"))
	for _, j := range jails {
		if err := os.Remove(j); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "etc/fail2ban"), "fail2ban.local", "[DEFAULT]\ndbfile = None\nlogtarget = "+root+"/fail2ban.log\n")
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	real, err := exec.LookPath("fail2ban-client")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"tattled":         fmt.Sprintf("#!/bin/sh\n%s=1 exec %s \"$@\" --control %s\n", childMark, self, socket),
		"fail2ban-client": fmt.Sprintf("#!/bin/sh\nexec %s -c %s/etc/fail2ban -s %[2]s/f2b.sock -p %[2]s/f2b.pid \"$@\"\n", real, root),
	} {
		if err := os.Chmod(write(t, dir, name, text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sharedTemp is a folder with a short name: a unix socket's path has 107 bytes.
func sharedTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tattled")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
