package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"tattled/event"
)

// handLimit is how long what is done by hand may take: a third party may be asked.
const handLimit = 60 * time.Second

// HandReport is what POST /api/v1/report on the control socket takes.
type HandReport struct {
	Address    string   `json:"address"`
	Categories []string `json:"categories"` // of AbuseIPDB, by name or number
	Comment    string   `json:"comment,omitempty"`
}

// HandReceipt is its answer: the report waits in the outbox.
type HandReceipt struct {
	Address     string `json:"address"`
	ID          string `json:"id"`
	Destination string `json:"destination"`
	Categories  []int  `json:"categories"`
	DryRun      bool   `json:"dry_run,omitempty"` // it will not be sent
}

// HandRetraction is what POST /api/v1/retract on the control socket takes.
type HandRetraction struct {
	Address string `json:"address"`
}

// Retraction is its answer.
type Retraction struct {
	Address   string    `json:"address"`
	Deleted   int       `json:"deleted"`           // reports of ours, by the destination
	Withdrawn int       `json:"withdrawn"`         // reports that had not been sent
	HeldUntil time.Time `json:"held_until"`        // it is not reported before
	DryRun    bool      `json:"dry_run,omitempty"` // no destination was asked
}

// HandRefused is why something is not done, for a person.
type HandRefused struct {
	Usage  bool // what was asked for makes no sense; else something speaks against it
	Detail string
}

func (e HandRefused) Error() string { return e.Detail }

func (c *Control) serveReport(w http.ResponseWriter, r *http.Request) {
	var asked HandReport
	serveHand(c, w, r, &asked, func(ctx context.Context) (any, error) {
		addr, err := handAddress(asked.Address)
		if err != nil {
			return nil, err
		}
		return c.hands.Report(ctx, addr, asked)
	})
}

func (c *Control) serveRetract(w http.ResponseWriter, r *http.Request) {
	var asked HandRetraction
	serveHand(c, w, r, &asked, func(ctx context.Context) (any, error) {
		addr, err := handAddress(asked.Address)
		if err != nil {
			return nil, err
		}
		return c.hands.Retract(ctx, addr)
	})
}

func handAddress(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, HandRefused{true, "That is not an IP address."}
	}
	return addr.Unmap(), nil
}

// serveHand reads what is asked, and does it.
func serveHand(c *Control, w http.ResponseWriter, r *http.Request, asked any, do func(ctx context.Context) (any, error)) {
	if c.hands.Report == nil || c.hands.Retract == nil {
		fail(w, r, http.StatusNotFound, "There is nobody to report to.")
		return
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(asked); err != nil || d.More() {
		fail(w, r, http.StatusBadRequest, "The body must be one JSON object with the fields that are known here.")
		return
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(handLimit + answerTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		c.server.logger.Warn("the time limit of an answer cannot be set", "error", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), handLimit)
	defer cancel()
	answer, err := do(ctx)
	var refused HandRefused
	switch {
	case err == nil:
		answerJSON(w, r, http.StatusOK, answer)
	case errors.As(err, &refused) && refused.Usage:
		fail(w, r, http.StatusBadRequest, event.Visible(refused.Detail))
	case errors.As(err, &refused):
		fail(w, r, http.StatusConflict, event.Visible(refused.Detail))
	default:
		c.server.logger.Error("what was asked for by the control socket failed", "path", r.URL.Path, "error", err)
		fail(w, r, http.StatusInternalServerError, "It failed; the daemon's log says why.")
	}
}
