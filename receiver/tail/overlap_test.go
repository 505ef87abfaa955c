package tail

import (
	"strings"
	"testing"
)

// Two entries for one file are an error where nobody could say which of them its lines belong to; a file and a pattern that say the
// same are none: the file is read once.
func TestEntriesForOneFile(t *testing.T) {
	for _, c := range []struct {
		files Files
		fault string
	}{
		{Files{{Path: "/var/log/a.log"}, {Path: "/var/log/*.log"}}, ""},
		{Files{{Path: "/var/log/*.log", Program: "nginx"}, {Path: "/var/log/a.log", Program: "nginx"}}, ""},
		{Files{{Path: "/var/log/*.log"}, {Path: "/var/log/a.log", Program: "nginx"}}, "[1].path: /var/log/a.log is already read by entry 0"},
		{Files{{Path: "/var/log/a.log", Trust: "count"}, {Path: "/var/log/*.log"}}, "[0].path: /var/log/a.log is already read by entry 1"},
		{Files{{Path: "/var/log/a.log"}, {Path: "/var/log//a.log"}}, "[1].path: /var/log//a.log is already read by entry 0"},
		{Files{{Path: "/var/log/*.log"}, {Path: "/var/log/*.log"}}, "[1].path: /var/log/*.log is already read by entry 0"},
	} {
		var faults []string
		c.files.Check(func(key, problem string) { faults = append(faults, key+": "+problem) })
		if (len(faults) == 0) != (c.fault == "") || !strings.HasPrefix(strings.Join(faults, "\n"), c.fault) {
			t.Errorf("%+v: %q, want %q", c.files, faults, c.fault)
		}
	}
}
