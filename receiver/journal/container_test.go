package journal

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	containerID  = "4f9c1b7d2e6a8035c1d2e3f4a5b6c7d8e9f00112233445566778899aabbccdde"
	otherID      = "0a1b2c3d4e5f60718293a4b5c6d7e8f90011223344556677889900aabbccddee"
	fromAttacker = "Failed password for root from 203.0.113.5 port 40022 ssh2"
)

// docker is an entry of Docker's log driver, with further fields.
func docker(name, tag, message string, more ...string) fieldsOf {
	return slices.Concat(fieldsOf{
		"_TRANSPORT", "journal", "_UID", "0", "_COMM", "dockerd", "_EXE", "/usr/bin/dockerd", "_PID", "812", "_SYSTEMD_UNIT", "docker.service", "_HOSTNAME", "web1",
		"PRIORITY", "6", "CONTAINER_ID", containerID[:12], "CONTAINER_ID_FULL", containerID, "CONTAINER_NAME", name, "CONTAINER_TAG", tag, "SYSLOG_IDENTIFIER", tag,
		"MESSAGE", message,
	}, more)
}

// podman is one of Podman's, whose messages keep their line ends.
func podman(name, message string, more ...string) fieldsOf {
	return slices.Concat(fieldsOf{
		"_TRANSPORT", "journal", "_UID", "0", "_COMM", "conmon", "_EXE", "/usr/bin/conmon", "_PID", "813", "_SYSTEMD_UNIT", "libpod-conmon-" + otherID + ".scope",
		"_HOSTNAME", "web1", "PRIORITY", "3", "CONTAINER_ID_FULL", otherID, "CONTAINER_NAME", name, "SYSLOG_IDENTIFIER", name, "MESSAGE", message + "\n",
	}, more)
}

// changed is an entry with another value of a field, or without it.
func changed(entry fieldsOf, field, value string) fieldsOf {
	at := slices.Index(entry, field)
	if value == "" {
		return slices.Delete(slices.Clone(entry), at, at+2)
	}
	entry = slices.Clone(entry)
	entry[at+1] = value
	return entry
}

// What containers write leads to a report where the configuration names them and the engine itself wrote the entry. The program is
// the tag or the name, else what a syslog header of the line says.
func TestContainers(t *testing.T) {
	t.Parallel()
	known := func(program []byte) bool { return slices.Contains([]string{"sshd", "nginx", "web-1"}, string(program)) }
	named := []string{"sshbox", "web-*", "mail"}
	for _, c := range []struct {
		what  string
		entry fieldsOf
		want  string // program[pid] trust message
	}{
		{"a tag", docker("sshbox", "sshd", fromAttacker), "sshd[] report " + fromAttacker},
		{"a pattern", docker("web-1", containerID[:12], fromAttacker), "web-1[] report " + fromAttacker},
		{"a name by docker compose", docker("web-nginx-1", containerID[:12], fromAttacker), "nginx[] report " + fromAttacker},
		{"the same in its older form", docker("web-x_nginx_12", containerID[:12], fromAttacker), "nginx[] report " + fromAttacker},
		{"a name of three parts without a number", docker("web-nginx-old", containerID[:12], fromAttacker), "web-nginx-old[] report " + fromAttacker},
		{"not named", docker("other", "sshd", fromAttacker), "sshd[] count " + fromAttacker},
		{"a name that a pattern's letters are in", docker("my-web-1", "sshd", fromAttacker), "sshd[] count " + fromAttacker},
		{"a tag with another name for its container", docker("web-1", "nginx", fromAttacker), "nginx[] report " + fromAttacker},
		{"Podman", podman("sshbox", "sshd[7]: "+fromAttacker), "sshbox[] report sshd[7]: " + fromAttacker},
		{"a syslog header", docker("mail", containerID[:12], "Nov 22 10:00:00 mail sshd[58]: "+fromAttacker), "sshd[58] report " + fromAttacker},
		{"the same by Podman", podman("mail", "2026-11-22T10:00:00.123456+01:00 mail sshd[58]: "+fromAttacker), "sshd[58] report " + fromAttacker},
		{"an application's date and a peer's words", docker("mail", containerID[:12], "2026-11-22 10:00:00,123 sshd[1]: "+fromAttacker), "sshd[1] count " + fromAttacker},
		{"a level in the host's place", docker("mail", containerID[:12], "2026-11-22T10:00:00Z INFO sshd[1]: "+fromAttacker), "sshd[1] count " + fromAttacker},
		{"a tag without a process", docker("mail", containerID[:12], "2026-11-22T10:00:00Z x sshd: "+fromAttacker), "sshd[] count " + fromAttacker},
		{"the same of one that is not named", docker("other", "x", "Nov 22 10:00:00 mail sshd[58]: "+fromAttacker), "sshd[58] count " + fromAttacker},
		{"a header of a peer's in the line of a known program", docker("web-1", "nginx", "2026-11-22T10:00:00Z x sshd[1]: "+fromAttacker), "nginx[] report 2026-11-22T10:00:00Z x sshd[1]: " + fromAttacker},

		{"a user with the same fields", changed(changed(docker("sshbox", "sshd", fromAttacker), "_UID", "1000"), "_EXE", "/usr/bin/python3"), "sshd[812] count " + fromAttacker},
		{"a user's conmon", changed(podman("sshbox", fromAttacker), "_UID", "1000"), "sshbox[813] count " + fromAttacker + "\n"},
		{"root's logger with the same fields", changed(docker("sshbox", "sshd", fromAttacker), "_EXE", "/usr/bin/logger"), "sshd[812] count " + fromAttacker},
		{"a link named dockerd", changed(docker("sshbox", "sshd", fromAttacker), "_EXE", "/usr/bin/sudo"), "sshd[812] count " + fromAttacker},
		{"no executable", changed(docker("sshbox", "sshd", fromAttacker), "_EXE", ""), "sshd[812] count " + fromAttacker},
		{"by /dev/log", changed(docker("sshbox", "sshd", fromAttacker), "_TRANSPORT", "syslog"), "sshd[812] count " + fromAttacker},
		{"dockerd's own words", changed(docker("sshbox", "sshd", fromAttacker), "CONTAINER_ID_FULL", ""), "sshd[812] count " + fromAttacker},
	} {
		for way, open := range ways() {
			t.Run(c.what+", "+way, func(t *testing.T) {
				t.Parallel()
				file := newJournalFile(t, filepath.Join(t.TempDir(), "test.journal"))
				file.add(c.entry)
				awaitFile(t, file.path)
				r, s := open(t, filepath.Dir(file.path)), &sink{}
				r.config.Containers, r.config.Known = named, known
				stop := run(t, r, s)
				await(t, func() bool { return s.count() >= 1 }, "the record")
				stop()
				got := s.records[0]
				if text := got.program + "[" + got.pid + "] " + got.trust + " " + got.message; text != c.want {
					t.Errorf("%q\nwant %q", text, c.want)
				}
			})
		}
	}
}

// A line that is too long for a log driver is in several entries. Neither is whole, and the one that comes next is, of the same
// container and of the same output.
func TestPartsOfContainers(t *testing.T) {
	t.Parallel()
	part := []string{"CONTAINER_PARTIAL_MESSAGE", "true"}
	forged := "x " + fromAttacker
	for _, c := range []struct {
		what    string
		entries []fieldsOf
		cut     string
	}{
		{"Docker", []fieldsOf{docker("sshbox", "sshd", "bob", part...), docker("sshbox", "sshd", forged), docker("sshbox", "sshd", forged)}, "cc."},
		{"three parts", []fieldsOf{docker("sshbox", "sshd", "bob", part...), docker("sshbox", "sshd", forged, part...), docker("sshbox", "sshd", forged), docker("sshbox", "sshd", forged)}, "ccc."},
		{"Podman", []fieldsOf{podman("sshbox", "bob", part...), podman("sshbox", forged), podman("sshbox", forged)}, "cc."},
		{"another container in between", []fieldsOf{docker("sshbox", "sshd", "bob", part...), podman("sshbox", forged), docker("sshbox", "sshd", forged)}, "c.c"},
		{"the other output in between", []fieldsOf{
			docker("sshbox", "sshd", "bob", part...), changed(docker("sshbox", "sshd", forged), "PRIORITY", "3"), docker("sshbox", "sshd", forged), docker("sshbox", "sshd", forged),
		}, "c.c."},
	} {
		for way, open := range ways() {
			t.Run(c.what+", "+way, func(t *testing.T) {
				t.Parallel()
				file := newJournalFile(t, filepath.Join(t.TempDir(), "test.journal"))
				file.add(c.entries...)
				awaitFile(t, file.path)
				r, s := open(t, filepath.Dir(file.path)), &sink{}
				r.config.Containers = []string{"*"}
				stop := run(t, r, s)
				await(t, func() bool { return s.count() >= len(c.entries) }, "all records")
				stop()
				if got := cuts(s.records); got != c.cut {
					t.Errorf("cut are %s, want %s", got, c.cut)
				}
			})
		}
	}
}

// A container's name in the configuration is a name or a pattern, and nothing else.
func TestContainerNames(t *testing.T) {
	for name, good := range map[string]bool{
		"mailserver": true, "web-*": true, "a.b_c-1": true, "app-?": true, "*": true,
		"": false, "a b": false, "[a-z]": false, "/web": false, "é": false, `a\*`: false, strings.Repeat("a", 256): false,
	} {
		ok := true
		c := Config{Containers: []string{name}}
		c.Check(func(string, string) { ok = false })
		if ok != good {
			t.Errorf("%q: accepted is %v", name, ok)
		}
	}
	if c := (Config{}); c.namesContainer([]byte("web-1")) {
		t.Error("a container is named by nothing")
	}
}
