package detect

import (
	"slices"

	"tattled/detect/rulefile"
)

// Lines says where the peers of a service can write whole lines of its log. Where they can, a line proves nothing about
// anybody, however well it matches: its address may be the text of somebody else.
type Lines uint8

// The answers. They stand in rule files by their names.
const (
	LinesUnsaid  Lines = iota // of a user's file that does not say: believed everywhere
	LinesEscaped              // nowhere: no text of a peer keeps its line ends on the way into the log
	LinesFile                 // only where the program's standard output or error is the log, for other text is in there as well
	LinesSingle               // wherever a message with line ends becomes several records: all but syslog and the journal's own interface
	LinesRaw                  // everywhere
	LinesUnknown              // nobody has proved anything: as raw
)

func (l Lines) String() string { return linesNames()[l] }

func linesNames() []string { return []string{"", "escaped", "file", "single", "raw", "unknown"} }

// Whole reports whether a record of the service was written by its program as a whole: no peer chose where it begins. file says
// that the record is a line of a file which has no headers, stream that it is a line of a program's standard output or error.
func (l Lines) Whole(file, stream bool) bool {
	switch l {
	case LinesUnsaid, LinesEscaped:
		return true
	case LinesFile:
		return !stream
	case LinesSingle:
		return !file && !stream
	default:
		return false
	}
}

// readLines reads what a rule file says of its lines.
func (s *Service) readLines(form *rulefile.File, f *rulefile.Faults) {
	s.Proof = form.Proof.Value
	if form.Lines.Line == 0 {
		return
	}
	at := slices.Index(linesNames(), form.Lines.Value)
	if at <= 0 {
		f.Add(form.Lines.Line, "lines: %q is none of escaped, file, single, raw and unknown", form.Lines.Value)
		return
	}
	s.Lines = Lines(at)
	if s.Proof == "" {
		f.Add(form.Lines.Line, "lines: add a proof: the version, the source file and the function that was read")
	}
	if s.Raw && s.Lines != LinesRaw {
		f.Add(form.Lines.Line, "lines: %s does not go with raw: true", s.Lines)
	}
}
