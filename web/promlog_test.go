package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// A scraper that goes away is no fault of ours, and would be one line for each family that it did not read.
func TestScraperGone(t *testing.T) {
	var log bytes.Buffer
	l := promLog{&Server{logger: slog.New(slog.NewTextHandler(&log, nil))}}
	l.Println("error encoding and sending metric family:", fmt.Errorf("write: %w", context.Canceled))
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
	l.Println("error gathering metrics:", errors.New("two of one name"))
	if !strings.Contains(log.String(), "two of one name") {
		t.Errorf("not logged: %q", log.String())
	}
}
