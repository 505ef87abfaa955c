package weblog

import "testing"

// TestResolve compares with a path that is cleaned.
func TestResolve(t *testing.T) {
	for from, want := range map[string]string{
		"/": "/", "": "", "/a": "/a", "/.": "/", "/..": "/", "/a/.": "/a/", "/a/..": "/", "/a/b/..": "/a/", "/a/../../b": "/b", "/a/./b/": "/a/b/", "/...": "/...", "/.a/..b": "/.a/..b", "x/../y": "/y", "/a/b/../../../c/./d/..": "/c/",
	} {
		if got := string(resolve([]byte(from))); got != want {
			t.Errorf("%q is %q, not %q", from, got, want)
		}
	}
}
