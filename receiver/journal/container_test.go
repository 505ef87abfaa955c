package journal

import (
	"strings"
	"testing"

	"tattled/event"
	"tattled/receiver"
)

const (
	dockers = "_TRANSPORT=journal _UID=0 _PID=500 _COMM=dockerd _EXE=/usr/bin/dockerd _SYSTEMD_UNIT=docker.service CONTAINER_ID_FULL=0123456789abcdef PRIORITY=6 "
	conmons = "_TRANSPORT=journal _UID=0 _PID=500 _COMM=conmon _EXE=/usr/bin/conmon _SYSTEMD_UNIT=libpod-conmon-0123.scope CONTAINER_ID_FULL=0123456789abcdef PRIORITY=6 "
)

// recordsOf reads entries as a receiver with these containers does. In words, "~" stands for a blank.
func recordsOf(t *testing.T, containers []string, entries ...string) []receiver.Record {
	t.Helper()
	r := &Receiver{config: Config{Containers: containers}, kernel: []byte("kernel")}
	var all []receiver.Record
	for _, words := range entries {
		p, e := entryOf(t, words)
		for i := range p.arena {
			if p.arena[i] == '~' {
				p.arena[i] = ' '
			}
		}
		e.container = e.have[ContainerName] && runtimeWrote(p, e, false)
		trust := r.trust(p, e)
		e.cut = r.breaks.broken(p, e, trust == event.TrustReport) || e.cut
		var record receiver.Record
		r.fill(&record, p, e)
		if record.Trust = trust; e.container {
			r.container(&record, p, e)
		}
		all = append(all, record)
	}
	return all
}

func TestContainers(t *testing.T) {
	const text = "MESSAGE=Failed~password"
	for name, c := range map[string]struct {
		entry, program, message string
		trusted                 bool
	}{
		"named, by its tag":              {dockers + "CONTAINER_NAME=sshbox CONTAINER_TAG=sshd SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", true},
		"named, its tag is its ID":       {dockers + "CONTAINER_NAME=sshbox CONTAINER_TAG=0123456789ab SYSLOG_IDENTIFIER=0123456789ab " + text, "sshbox", "Failed password", true},
		"named, no tag":                  {dockers + "CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=x " + text, "sshbox", "Failed password", true},
		"named with a *":                 {dockers + "CONTAINER_NAME=shop-nginx-1 SYSLOG_IDENTIFIER=x " + text, "nginx", "Failed password", true},
		"named, a header inside":         {dockers + "CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=x MESSAGE=Nov~22~05:40:00~mail~sshd[9]:~x", "sshd", "x", true},
		"podman's":                       {conmons + "CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=sshbox " + text, "sshbox", "Failed password", true},
		"podman's, a service of its own": {strings.Replace(conmons, "libpod-conmon-0123.scope", "mail.service", 1) + "CONTAINER_NAME=sshbox " + text, "sshbox", "Failed password", true},
		"not named":                      {dockers + "CONTAINER_NAME=other CONTAINER_TAG=sshd SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", false},
		"not named, a header inside":     {dockers + "CONTAINER_NAME=other SYSLOG_IDENTIFIER=x MESSAGE=Nov~22~05:40:00~mail~sshd[9]:~x", "other", "Nov 22 05:40:00 mail sshd[9]: x", false},
		"begins alike":                   {dockers + "CONTAINER_NAME=sshbox2 CONTAINER_TAG=sshd " + text, "sshd", "Failed password", false},
		"a user's word":                  {"_TRANSPORT=journal _UID=1000 _COMM=dockerd _EXE=/home/a/dockerd _SYSTEMD_UNIT=session-3.scope CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", false},
		"a user's word by sudo":          {"_TRANSPORT=journal _UID=0 _COMM=logger _EXE=/usr/bin/logger _SYSTEMD_UNIT=session-3.scope CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", false},
		"a link called conmon to sudo":   {"_TRANSPORT=journal _UID=0 _COMM=conmon _EXE=/usr/bin/sudo _SYSTEMD_UNIT=session-3.scope CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", false},
		"the same, gone at once":         {"_TRANSPORT=journal _UID=0 _COMM=conmon _SYSTEMD_UNIT=session-3.scope CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", false},
		"conmon in a session":            {strings.Replace(conmons, "libpod-conmon-0123.scope", "session-3.scope", 1) + "CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", false},
		"rootless podman":                {strings.Replace(conmons, "_UID=0", "_UID=1000", 1) + "CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", false},
		"dockerd elsewhere":              {strings.Replace(dockers, "docker.service", "web.service", 1) + "CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", false},
		"dockerd's own words":            {dockers + "SYSLOG_IDENTIFIER=dockerd " + text, "dockerd", "Failed password", true},
		"by syslog":                      {strings.Replace(dockers, "=journal", "=syslog", 1) + "CONTAINER_NAME=sshbox SYSLOG_IDENTIFIER=sshd " + text, "sshd", "Failed password", false},
	} {
		r := recordsOf(t, []string{"sshbox", "shop-*"}, c.entry)[0]
		if string(r.Program) != c.program || string(r.Message) != c.message || (r.Trust == event.TrustReport) != c.trusted {
			t.Errorf("%s: %q %q, trust %v", name, r.Program, r.Message, r.Trust)
		}
		if r.Cut {
			t.Errorf("%s: is cut", name)
		}
	}
}

// Parts of a container's line are no lines, the last one least of all: its writer chose where it begins.
func TestPartsOfContainersLines(t *testing.T) {
	const name = "CONTAINER_NAME=sshbox MESSAGE=x "
	stderr := strings.Replace(conmons, "PRIORITY=6", "PRIORITY=3", 1)
	for what, c := range map[string]struct {
		entries []string
		cut     string // one letter for each
	}{
		"whole":                     {[]string{conmons + name, conmons + name}, "--"},
		"podman":                    {[]string{conmons + name + "CONTAINER_PARTIAL_MESSAGE=true", conmons + name, conmons + name}, "cc-"},
		"podman, the other stream":  {[]string{conmons + name + "CONTAINER_PARTIAL_MESSAGE=true", stderr + name, conmons + name, stderr + name}, "c-c-"},
		"podman, another container": {[]string{conmons + name + "CONTAINER_PARTIAL_MESSAGE=true", strings.Replace(conmons, "0123456789abcdef", "fedc", 1) + name, conmons + name}, "c-c"},
		"docker":                    {[]string{dockers + name + "CONTAINER_PARTIAL_MESSAGE=true CONTAINER_PARTIAL_ID=a", dockers + name + "CONTAINER_PARTIAL_ID=a", dockers + name}, "cc-"},
		"a user takes up no mark":   {[]string{conmons + name + "CONTAINER_PARTIAL_MESSAGE=true", "_TRANSPORT=journal _UID=1000 _COMM=conmon CONTAINER_ID_FULL=0123456789abcdef PRIORITY=6 " + name, conmons + name}, "c-c"},
		"without an ID":             {[]string{strings.Replace(conmons, "CONTAINER_ID_FULL=0123456789abcdef ", "", 1) + name}, "c"},
	} {
		got := ""
		for _, r := range recordsOf(t, []string{"sshbox"}, c.entries...) {
			if r.Cut {
				got += "c"
			} else {
				got += "-"
			}
		}
		if got != c.cut {
			t.Errorf("%s: %s, want %s", what, got, c.cut)
		}
	}
}

func TestContainerNames(t *testing.T) {
	for _, names := range [][]string{{""}, {"*"}, {"**"}, {"a*b*"}, {"a b"}, make([]string, maxMatches+1)} {
		c := Config{Containers: names}
		faults := 0
		c.Check(func(string, string) { faults++ })
		if faults == 0 {
			t.Errorf("%q is taken", names)
		}
	}
	c := Config{Containers: []string{"mailserver", "web-*", "*-web", "a*b"}}
	c.Check(func(path, problem string) { t.Errorf("%s %s", path, problem) })
}
