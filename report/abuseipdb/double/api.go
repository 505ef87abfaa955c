package double

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// reply is an answer before it is written.
type reply struct {
	status int
	header map[string]string
	body   any
	text   *string // instead of body: plain text
}

// problem is one element of an error answer: {"errors":[{"detail","status","source":{"parameter"}}]} (documented).
type problem struct {
	Detail string  `json:"detail"`
	Status int     `json:"status"`
	Source *source `json:"source,omitempty"`
}

type source struct {
	Parameter string `json:"parameter"`
}

// refuse makes an error answer. parameter "" leaves the source out.
func refuse(status int, detail, parameter string) reply {
	p := problem{Detail: detail, Status: status}
	if parameter != "" {
		p.Source = &source{parameter}
	}
	return reply{status: status, body: map[string][]problem{"errors": {p}}}
}

// invalid is the refusal of a parameter.
func invalid(detail, parameter string) reply {
	return refuse(http.StatusUnprocessableEntity, detail, parameter)
}

// ok makes the answer to what went well.
func ok(data any) reply { return reply{status: http.StatusOK, body: map[string]any{"data": data}} }

// serveAPI serves everything under /api/v2/: journal, faults, key, quota, endpoint, in this order.
func (d *Double) serveAPI(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/api/v2/")
	if d.takeEarly(name) {
		panic(http.ErrAbortHandler) // before the body is read
	}
	body, err := io.ReadAll(r.Body)
	entry := Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Body: string(body[:min(len(body), maxJournal)]),
		ContentType: r.Header.Get("Content-Type"), Accept: r.Header.Get("Accept"), UserAgent: r.UserAgent(),
	}
	c, errForm := read(r, body)
	key := r.Header.Get("Key")
	if key == "" {
		key = c.form.Get("key") // documented, and discouraged
	}
	entry.Key, c.key = d.judgeKey(key), keyID(key)
	fault := d.takeFault(name, c.form)
	entry.Fault = fault.Mode
	if fault.Mode == Drop || !fault.wait(r, Delay) {
		d.record(entry, c.file)
		panic(http.ErrAbortHandler) // nothing was done
	}
	c.half = fault.Mode == HalfSaved
	out, injected := fault.instead(d, name)
	switch {
	case injected:
	case err != nil:
		out = refuse(http.StatusRequestEntityTooLarge, "The request is too large.", "") // synthetic
	case errForm != nil:
		out = refuse(http.StatusBadRequest, "The request could not be read.", "") // synthetic
	default:
		out = d.answer(r.Method, name, entry.Key == "right", c)
	}
	entry.Status = out.status
	d.record(entry, c.file)
	if fault.Mode == DropAfter || fault.Mode == HalfSaved {
		panic(http.ErrAbortHandler) // the report is in: the client must find out by asking again
	}
	fault.wait(r, Hold)
	fault.write(w, r, out)
}

// judgeKey says what a request's key is: any but an empty one is right where none is configured.
func (d *Double) judgeKey(key string) string {
	switch {
	case key == "":
		return "none"
	case d.options.Key != "" && key != d.options.Key:
		return "wrong"
	default:
		return "right"
	}
}

func (d *Double) record(entry Request, file []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	entry.At = d.now()
	d.requests.add(entry)
	if file != nil {
		d.files.add(File{entry.At, string(file)})
	}
	d.changed = true
}

const badAddress = "The ip address must be a valid IPv4 or IPv6 address (e.g. 8.8.8.8 or 2001:4860:4860::8888)." // observed

// parseAddr reads an address; IPv4-mapped ones are IPv4 (synthetic), zones are refused (synthetic).
func parseAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// read reads what was asked from the query and the body: a form (the documentation's curl), JSON (AbuseIPDB's own
// client), multipart (bulk-report), or nothing but the query, on a POST as well (the documentation's Python). All documented.
func read(r *http.Request, body []byte) (*call, error) {
	form, err := url.ParseQuery(r.URL.RawQuery)
	c := &call{form: form, plain: strings.HasPrefix(r.Header.Get("Accept"), "text/plain"), base: "http://" + r.Host + "/api/v2/"}
	if err != nil {
		return c, err
	}
	kind, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case strings.Contains(kind, "json"):
		return c, c.readJSON(body)
	case kind == "multipart/form-data":
		return c, c.readParts(multipart.NewReader(bytes.NewReader(body), parameters["boundary"]))
	}
	more, err := url.ParseQuery(string(body))
	for name, values := range more {
		form[name] = append(form[name], values...)
	}
	return c, err
}

func (c *call) readJSON(body []byte) error {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // 1000000 is not 1e+06
	if err := decoder.Decode(&fields); err != nil {
		return err
	}
	for name, value := range fields {
		list, many := value.([]any)
		if !many {
			list = []any{value}
		}
		for _, v := range list {
			c.form.Add(name, fmt.Sprint(v))
		}
	}
	return nil
}

// readParts reads parts; the file is the part "csv" that has a file name (documented by curl's form of it).
func (c *call) readParts(parts *multipart.Reader) error {
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return err
		}
		if part.FormName() == "csv" && part.FileName() != "" {
			c.file = append([]byte{}, text...)
		} else {
			c.form.Add(part.FormName(), string(text))
		}
	}
}

// writeReply writes out as JSON in PHP's way, "/" as "\/" (observed); an error to a client that does not accept JSON as
// a page of HTML (documented).
func writeReply(w http.ResponseWriter, r *http.Request, out reply) {
	for name, value := range out.header {
		w.Header().Set(name, value)
	}
	accept := r.Header.Get("Accept")
	if out.status >= 400 && !strings.Contains(accept, "/json") && !strings.Contains(accept, "+json") {
		writePage(w, out.status)
		return
	}
	w.Header().Set("Cache-Control", "no-cache, private") // observed
	if out.text != nil {
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		w.WriteHeader(out.status)
		_, _ = io.WriteString(w, *out.text)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(out.status)
	_, _ = w.Write(encode(out.body)) // a client that left has no use for it
}

func encode(body any) []byte {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // of our own maps and strings
	}
	return []byte(strings.ReplaceAll(string(text), "/", `\/`))
}

func writePage(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	w.WriteHeader(status)
	title := html.EscapeString(http.StatusText(status))
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html><head><title>%s</title></head><body><h1>%d %s</h1></body></html>\n", title, status, title)
}
