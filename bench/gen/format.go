package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const host = "bastion01"

// format appends e, as it was logged at t, with its line end.
type format func(b []byte, t time.Time, e *entry) []byte

var formats = map[string]format{"plain": plain, "3164": rfc3164, "5424": rfc5424, "export": export}

func plain(b []byte, t time.Time, e *entry) []byte {
	b = t.AppendFormat(b, time.Stamp)
	b = append(b, ' ')
	b = append(b, host...)
	b = append(b, ' ')
	b = append(b, e.tag...)
	if e.pid != 0 {
		b = append(b, '[')
		b = strconv.AppendInt(b, int64(e.pid), 10)
		b = append(b, ']')
	}
	b = append(b, ": "...)
	b = append(b, e.text...)
	return append(b, '\n')
}

func priority(b []byte, e *entry) []byte {
	b = append(b, '<')
	b = strconv.AppendInt(b, int64(e.facility*8+e.severity), 10)
	return append(b, '>')
}

func rfc3164(b []byte, t time.Time, e *entry) []byte { return plain(priority(b, e), t, e) }

func rfc5424(b []byte, t time.Time, e *entry) []byte {
	pid := "-"
	if e.pid != 0 {
		pid = strconv.Itoa(e.pid)
	}
	b = append(priority(b, e), "1 "...)
	b = t.AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	return fmt.Appendf(b, " %s %s %s - - %s\n", host, e.tag, pid, e.text)
}

func export(b []byte, t time.Time, e *entry) []byte {
	us := t.UnixMicro()
	uptime := us - time.Date(2026, 11, 11, 0, 0, 0, 0, time.UTC).UnixMicro()
	b = fmt.Appendf(b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%032x\n_MACHINE_ID=%032x\n_HOSTNAME=%s\n"+
		"PRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=%s\n", us, uptime, 0xb007, 0x4a, host, e.severity, e.facility, e.tag)
	if e.tag == "kernel" {
		_, text, _ := strings.Cut(e.text, "] ") // journald keeps "[uptime]" out of MESSAGE
		return fmt.Appendf(b, "_TRANSPORT=kernel\n_SOURCE_MONOTONIC_TIMESTAMP=%d\nMESSAGE=%s\n\n", uptime-100, text)
	}
	return fmt.Appendf(b, "_TRANSPORT=syslog\n_UID=0\n_GID=0\n_COMM=%s\n_EXE=/usr/sbin/%[1]s\n_CMDLINE=%[1]s: [priv]\n_CAP_EFFECTIVE=1ffffffffff\n"+
		"_SYSTEMD_CGROUP=/system.slice/%[2]s\n_SYSTEMD_UNIT=%[2]s\n_SYSTEMD_SLICE=system.slice\n_SYSTEMD_INVOCATION_ID=%032[3]x\n"+
		"SYSLOG_PID=%[4]d\n_PID=%[4]d\nSYSLOG_TIMESTAMP=%[5]s \n_SOURCE_REALTIME_TIMESTAMP=%[6]d\nMESSAGE=%[7]s\n\n",
		e.tag, e.unit, 0x1a, e.pid, t.Format(time.Stamp), us-50, e.text)
}
