package syslog

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gosyslog "gopkg.in/mcuadros/go-syslog.v2"
	"gopkg.in/mcuadros/go-syslog.v2/format"
)

// The local socket: records as syslog(3) writes them, hostile ones.
func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	r := listen(t, Config{Listen: "unix://" + path, MaxLine: 512, Mode: "0622", Peers: []string{strconv.Itoa(os.Getuid())}})
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket || info.Mode().Perm() != 0o622 {
		t.Fatalf("%v, %v", info, err)
	}
	w := newWatch()
	stop := run(t, r, w)
	c := dial(t, r)
	for _, d := range []string{
		"<38>Nov 22 05:40:00 sshd[7]: one",
		header + "two", header + "three",
		"<13>", "-1 x", "\x00\x00",
		header + strings.Repeat("x", 600),
		header + "last\n\x00",
	} {
		send(t, c, d)
	}
	got := w.wait(t, 7)
	stop()
	if got[0] != (struct{ host, program, pid, message, trust string }{"", "sshd", "7", "one", "report"}) {
		t.Errorf("%+v", got[0])
	}
	if got[1].message != "two" || got[2].message != "three" || got[3].message != "<13>" || got[6].message != "last" || w.cut != 1 {
		t.Errorf("%+v", got)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket's file is left: %v", err)
	}
}

// A socket that a dead process left is replaced; a living one, and what is no socket, is not touched.
func TestUnixStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Listen: "unix://" + path}, nil); err == nil {
		t.Error("took the place of a file")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Listen: "unix://" + path}, nil); err == nil {
		t.Error("took the place of a living socket")
	}
	c.Close()
	if _, err := os.Lstat(path); err != nil { // Go leaves the file of a datagram socket
		t.Fatal(err)
	}
	if _, err := New(Config{Listen: "unix://" + path}, nil); err != nil {
		t.Errorf("did not take the place of a dead one: %v", err)
	}
}

// The very same framing and parsing under another host: go-syslog's TCP server, an independent peer.
func TestFormatInServer(t *testing.T) {
	server := gosyslog.NewServer()
	server.SetFormat(NewFormat(512, time.UTC))
	got := make(chan string, 100)
	server.SetHandler(serverHandler(func(parts format.LogParts, _ int64, err error) {
		p := ParsedOf(parts)
		got <- fmt.Sprintf("%s|%s|%s|%v", p.Record.Host, p.Record.Program, p.Record.Message, err)
		p.Free()
	}))
	probe, err := net.Listen("tcp", "127.0.0.1:0") // the server does not say which port it got
	if err != nil {
		t.Fatal(err)
	}
	addr := probe.Addr().String()
	probe.Close()
	if err := server.ListenTCP(addr); err != nil {
		t.Fatal(err)
	}
	if err := server.Boot(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, header+"one\n5 <38>x-1 x\n"+header+strings.Repeat("x", 600)+"\n<13>\n"+header+"last\n")
	for _, want := range []string{
		"web1|sshd|one|<nil>", "||<38>x|<nil>", "||-1 x|<nil>", "web1|sshd|" + strings.Repeat("x", 512-len(header)) + "|<nil>", "||<13>|<nil>", "web1|sshd|last|<nil>",
	} {
		if text := <-got; text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
	c.Close()
	if err := server.Kill(); err != nil { // safe: there is no datagram socket
		t.Error(err)
	}
	server.Wait()
}

type serverHandler func(format.LogParts, int64, error)

func (f serverHandler) Handle(parts format.LogParts, n int64, err error) { f(parts, n, err) }
