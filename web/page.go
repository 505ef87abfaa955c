package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"time"

	"tattled/geoip"
)

// shownEvents is how many events the page has when it is opened. Its script keeps at most 200.
const shownEvents = 100

// files are the templates, and what the page loads.
//
//go:embed assets templates
var files embed.FS

// pages are the parsed templates and the assets.
type pages struct {
	templates *template.Template
	assets    map[string]asset
}

type asset struct {
	content []byte
	kind    string
	etag    string
}

func newPages() (*pages, error) {
	templates, err := template.New("").Funcs(template.FuncMap{
		"clock": clock, "date": date, "figure": formatCount[uint64],
		"times": func(a, b int) int { return a * b }, "minus": func(a, b int) int { return a - b },
	}).ParseFS(files, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse the page: %w", err)
	}
	p := &pages{templates: templates, assets: make(map[string]asset)}
	entries, err := files.ReadDir("assets")
	if err != nil {
		return nil, fmt.Errorf("read the assets: %w", err)
	}
	for _, entry := range entries {
		content, err := files.ReadFile("assets/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read the assets: %w", err)
		}
		sum := sha256.Sum256(content)
		p.assets[entry.Name()] = asset{content, mime.TypeByExtension(path.Ext(entry.Name())), `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return p, nil
}

// serveAsset answers with an embedded file. A browser asks each time whether its copy is current, so that an upgrade is
// seen at once.
func (s *Server) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.pages.assets[r.PathValue("name")]
	if !ok {
		fail(w, r, http.StatusNotFound, "There is nothing at this address.")
		return
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", a.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}

// livePage is what the template of the live page is given.
type livePage struct {
	frame
	Status *statusView
	Events []Event // the newest first
	Last   uint64  // Seq of the newest, where the event stream goes on
	Blank  rowTemplates
}

// frame is what every page has.
type frame struct {
	Title   string
	Version string
	Credits []geoip.Credit
}

// rowTemplates has the empty lines from which the script makes new ones.
type rowTemplates struct {
	Problem problemView
	Event   Event
	Rank    rankView
	Count   countView
	Report  reportView
	Source  sourceView
}

func (s *Server) frame(title string) frame {
	f := frame{Title: title, Version: s.deps.Version}
	if s.deps.Credits != nil {
		f.Credits = s.deps.Credits()
	}
	return f
}

func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	status, _, err := s.current()
	if err != nil {
		s.failStore(w, r, err)
		return
	}
	view := livePage{frame: s.frame("tattled"), Status: status, Events: viewEvents(s.feed.latest(shownEvents))}
	slices.Reverse(view.Events)
	if len(view.Events) > 0 {
		view.Last = view.Events[0].Seq
	}
	s.render(w, r, "live", view)
}

// addressPage is what the template of an address's page is given.
type addressPage struct {
	frame
	Address string
	Known   *AddressAnswer
	Kinds   []TopKind
	Events  []Event // the newest first
}

func (s *Server) serveAddressPage(w http.ResponseWriter, r *http.Request) {
	addr, err := netip.ParseAddr(r.PathValue("ip"))
	if err != nil {
		fail(w, r, http.StatusBadRequest, "That is not an IP address.")
		return
	}
	known, err := s.address(addr)
	switch {
	case errors.Is(err, errUnknown):
		fail(w, r, http.StatusNotFound, "No event of this address is kept.")
		return
	case err != nil:
		s.failStore(w, r, err)
		return
	}
	view := addressPage{frame: s.frame(addr.String() + " - tattled"), Address: addr.Unmap().WithZone("").String(), Known: known, Events: slices.Clone(known.Recent)}
	slices.Reverse(view.Events)
	for _, kind := range sortedKeys(known.Kinds) {
		view.Kinds = append(view.Kinds, TopKind{kind, int(known.Kinds[kind])})
	}
	s.render(w, r, "address", view)
}

// render writes a page whole or not at all.
func (s *Server) render(w http.ResponseWriter, r *http.Request, name string, view any) {
	var out bytes.Buffer
	if err := s.pages.templates.ExecuteTemplate(&out, name, view); err != nil {
		s.logger.Error("a page could not be made", "page", name, "error", err)
		fail(w, r, http.StatusInternalServerError, "The page could not be made.")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	send(w, out.Bytes())
}
