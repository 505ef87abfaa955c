package daemon

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/journal"
)

// NewLogger logs text to w. Where w is the journal's stream, each line begins with its priority in angle brackets
// (sd-daemon(3)) and has no time, since the journal has one. No line that was received is ever logged: whoever follows
// the journal would feed itself.
func NewLogger(w io.Writer) *slog.Logger {
	if w == os.Stderr {
		if is, err := journal.StderrIsJournalStream(); err == nil && is {
			return slog.New(newJournalHandler(w))
		}
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

// journalHandler holds a text handler for each priority.
type journalHandler struct{ err, warning, info slog.Handler }

func newJournalHandler(w io.Writer) journalHandler {
	handler := func(priority string) slog.Handler {
		return slog.NewTextHandler(prefixed{w, priority}, &slog.HandlerOptions{
			ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
				if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
					return slog.Attr{}
				}
				return a
			},
		})
	}
	return journalHandler{err: handler("<3>"), warning: handler("<4>"), info: handler("<6>")}
}

// prefixed begins every write, and so every line of a text handler, with text.
type prefixed struct {
	w    io.Writer
	text string
}

func (p prefixed) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append([]byte(p.text), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

func (h journalHandler) forLevel(level slog.Level) slog.Handler {
	switch {
	case level >= slog.LevelError:
		return h.err
	case level >= slog.LevelWarn:
		return h.warning
	default:
		return h.info
	}
}

func (h journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.forLevel(level).Enabled(ctx, level)
}

func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.forLevel(r.Level).Handle(ctx, r)
}

func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalHandler{h.err.WithAttrs(attrs), h.warning.WithAttrs(attrs), h.info.WithAttrs(attrs)}
}

func (h journalHandler) WithGroup(name string) slog.Handler {
	return journalHandler{h.err.WithGroup(name), h.warning.WithGroup(name), h.info.WithGroup(name)}
}
