package journal

import (
	"bytes"
	"strings"
	"time"

	"tattled/event"
	"tattled/receiver"
	"tattled/receiver/wire"
)

// Container engines write each line of a container's output into the journal, if they are told to: dockerd for all (--log-driver
// journald, moby/moby, daemon/logger/journald/journald.go), and a conmon for each of podman's (containers/conmon, src/ctr_logging.c).
// Who the entry is by, says the engine alone: the kernel knows of the engine's process. So what such an entry says is the word of whoever
// can write to the container's output, and it is believed where the configuration names the container.

// container makes the record of a line of a container of what fill has made of the engine's entry.
func (r *Receiver) container(record *receiver.Record, p *parser, e *entry) {
	record.Framing, record.PID = receiver.OutLine, nil
	record.Program = containerProgram(p.value(e, ContainerName), p.value(e, ContainerTag), p.value(e, ContainerID))
	if record.Trust != event.TrustReport {
		return
	}
	if r.inner == nil {
		r.inner = wire.NewParser(time.Local)
	}
	inner := receiver.Record{}
	if form := r.inner.Parse(record.Message, record.Time, &inner); form != wire.None && form != wire.Topics && inner.Program != nil {
		record.Program, record.PID, record.Message = inner.Program, inner.PID, inner.Message
	}
}

// named reports whether the configuration names a container.
func (r *Receiver) named(name []byte) bool {
	for _, pattern := range r.config.Containers {
		front, back, wild := strings.Cut(pattern, "*")
		if wild && len(name) >= len(front)+len(back) && bytes.HasPrefix(name, []byte(front)) && bytes.HasSuffix(name, []byte(back)) || pattern == string(name) {
			return true
		}
	}
	return false
}

// containerProgram returns whose lines those of a container are: its tag, if the operator has given it one, else its name, of which only
// the service counts where docker compose has made it of project, service and number.
func containerProgram(name, tag, id []byte) []byte {
	if len(tag) > 0 && !bytes.HasPrefix(id, tag) {
		return tag
	}
	for _, between := range []string{"-", "_"} {
		parts := bytes.Split(name, []byte(between))
		if len(parts) == 3 && len(parts[1]) > 0 && isPID(parts[2]) {
			return parts[1]
		}
	}
	return name
}
