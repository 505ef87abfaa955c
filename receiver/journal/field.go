package journal

// Field is a field of a journal entry that is made use of, see systemd.journal-fields(7).
type Field uint8

// The fields. journald itself writes those that begin with an underscore, and no client can; the others say what the
// client wants.
const (
	Message Field = iota
	Identifier
	SyslogPID
	Transport
	UID
	PID
	Comm
	Exe
	SystemdUnit
	Hostname
	SourceTime // when it was sent, in microseconds since 1970
	EntryTime  // when journald took it, in microseconds since 1970
	StreamID   // of an entry of a standard output or error: which stream it was written to
	LineBreak  // why such an entry ends where it does, if that is not the end of a line: nul, line-max, eof, pid-change
	// What the journal drivers of Docker and podman say of a line of a container. A client chooses these as it does its identifier.
	ContainerName
	ContainerTag   // as the operator wants it to be called; its ID by default
	ContainerID    // in full
	PartialMessage // of a part of a line that is not its last one
	PartialID      // of each part of a line, by Docker
	Priority       // tells the two streams of a container apart
	fieldCount

	cursorField // a position: of the entry that it comes with, and of all before it
	gapField    // entries before this one were lost
	unknown
)

// What the helper writes beside the entries' own fields. No entry can have a field that begins with two underscores.
const (
	// CursorField is a position. All entries up to it are whole and in order, so a batch may end here. It may come in a record
	// of its own.
	CursorField = "__CURSOR"
	// GapField says that entries were lost before the next one. Its value is of no account.
	GapField = "__TATTLED_GAP"
)

// OwnName is what the names of our own programs begin with.
const OwnName = "tattled"

// MaxMessage is how much of a message is read, in bytes.
const MaxMessage = 32 << 10

// maxValue is how much of any other field is read, in bytes.
const maxValue = 4 << 10

func (f Field) String() string {
	switch f {
	case Message:
		return "MESSAGE"
	case Identifier:
		return "SYSLOG_IDENTIFIER"
	case SyslogPID:
		return "SYSLOG_PID"
	case Transport:
		return "_TRANSPORT"
	case UID:
		return "_UID"
	case PID:
		return "_PID"
	case Comm:
		return "_COMM"
	case Exe:
		return "_EXE"
	case SystemdUnit:
		return "_SYSTEMD_UNIT"
	case Hostname:
		return "_HOSTNAME"
	case SourceTime:
		return "_SOURCE_REALTIME_TIMESTAMP"
	case EntryTime:
		return "__REALTIME_TIMESTAMP"
	case StreamID:
		return "_STREAM_ID"
	case LineBreak:
		return "_LINE_BREAK"
	case ContainerName:
		return "CONTAINER_NAME"
	case ContainerTag:
		return "CONTAINER_TAG"
	case ContainerID:
		return "CONTAINER_ID_FULL"
	case PartialMessage:
		return "CONTAINER_PARTIAL_MESSAGE"
	case PartialID:
		return "CONTAINER_PARTIAL_ID"
	case Priority:
		return "PRIORITY"
	case cursorField:
		return CursorField
	case gapField:
		return GapField
	default:
		return "unknown"
	}
}

// Fields lists all fields of an entry, in order.
func Fields() []Field {
	var all []Field
	for f := range fieldCount {
		all = append(all, f)
	}
	return all
}

// ContainerFields lists the fields of an entry of a container.
func ContainerFields() []Field {
	return []Field{ContainerName, ContainerTag, ContainerID, PartialMessage, PartialID, Priority}
}

// IsRuntime reports whether a process's name is that of a container engine that writes containers' lines into the journal.
func IsRuntime(comm []byte) bool { return string(comm) == "dockerd" || string(comm) == "conmon" }

// fieldNamed tells which field a name is.
func fieldNamed(name []byte) Field {
	switch string(name) {
	case "MESSAGE":
		return Message
	case "SYSLOG_IDENTIFIER":
		return Identifier
	case "SYSLOG_PID":
		return SyslogPID
	case "_TRANSPORT":
		return Transport
	case "_UID":
		return UID
	case "_PID":
		return PID
	case "_COMM":
		return Comm
	case "_EXE":
		return Exe
	case "_SYSTEMD_UNIT":
		return SystemdUnit
	case "_HOSTNAME":
		return Hostname
	case "_SOURCE_REALTIME_TIMESTAMP":
		return SourceTime
	case "__REALTIME_TIMESTAMP":
		return EntryTime
	case "_STREAM_ID":
		return StreamID
	case "_LINE_BREAK":
		return LineBreak
	case "CONTAINER_NAME":
		return ContainerName
	case "CONTAINER_TAG":
		return ContainerTag
	case "CONTAINER_ID_FULL":
		return ContainerID
	case "CONTAINER_PARTIAL_MESSAGE":
		return PartialMessage
	case "CONTAINER_PARTIAL_ID":
		return PartialID
	case "PRIORITY":
		return Priority
	case CursorField:
		return cursorField
	case GapField:
		return gapField
	default:
		return unknown
	}
}

// isFieldName reports whether name can be a field's: journald takes up to 64 of these bytes.
func isFieldName(name []byte) bool {
	for _, b := range name {
		if (b < 'A' || 'Z' < b) && !isDigit(b) && b != '_' {
			return false
		}
	}
	return 0 < len(name) && len(name) <= 64
}
