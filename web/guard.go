package web

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// contentPolicy is the Content-Security-Policy of every answer: the page may load its own script, style, icon and event stream,
// and nothing else; nothing inline runs, and text cannot become markup through the DOM.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard stands before every request: it sets the headers that every answer has and refuses methods that would change
// something, names that are not ours, and requests that another site's page makes.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.working.Add(1)
		defer s.working.Done()
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			fail(w, r, http.StatusMethodNotAllowed, "Nothing can be changed here: use GET or HEAD.")
		case !s.known(r):
			fail(w, r, http.StatusMisdirectedRequest, "This server was called by a name that is not its own. Call it by its address, or add the name to web.hosts.")
		case foreign(r):
			fail(w, r, http.StatusForbidden, "Another site's page made this request.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// known reports whether the request calls this server by a name or address of its own. A page that reaches in through DNS
// rebinding calls it by the page's own name.
func (s *Server) known(r *http.Request) bool {
	host := hostOf(r.Host)
	if s.hosts[host] {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return addr.IsLoopback() || ok && addr == local.AddrPort().Addr().Unmap().WithZone("")
}

// hostOf brings a Host header or a configured name into one form: no port, no brackets, no dot at the end, lower case.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// foreign reports whether a browser says that a page of another origin made the request. A link that someone follows from
// there is no such thing: it shows the page to its owner and tells the other site nothing.
func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	default:
		return false
	}
}

// problem is an error as RFC 9457 writes it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// fail answers with an error: a problem document below /api/, plain text elsewhere. detail must not hold what the client
// sent.
func fail(w http.ResponseWriter, r *http.Request, status int, detail string) {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		http.Error(w, http.StatusText(status)+"\n\n"+detail, status)
		return
	}
	body, err := encode(problem{"about:blank", http.StatusText(status), status, detail})
	if err != nil {
		panic(err) // strings and a number always encode
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	send(w, body)
}
