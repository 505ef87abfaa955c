package weblog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Form is the form of an access log as the operator declared it: columns and the fixed text between them. Where it is known,
// nothing of a line is guessed: the peer is what the server wrote in the peer's column.
//
// Two things keep the columns apart. A server escapes every quote within a column, so the first raw quote after a quoted
// column's beginning is its end, whatever a client wrote. And of the columns without quotes only few may hold a blank: those
// of which a client writes the text, such as the user. What is between two quotes is read from both ends up to such a column.
type Form struct {
	parts    []formPart
	text     string
	controls int // characters of the form's own that no server leaves in a column
}

// formPart is what is between two quoted columns, with the column that follows it.
type formPart struct {
	front, back []formItem // before the first column that may hold blanks, and after the last; all are in front without one
	middle      []formItem // from that first to that last
	quoted      formColumn // the quoted column after it; columnNone at the line's end
}

// formItem is a text, or a column that ends where the next text begins.
type formItem struct {
	text   string
	column formColumn
}

// formColumn is what a column holds.
type formColumn uint8

const (
	columnText  formColumn = iota // no column, but fixed text
	columnNone                    // nothing: the end of the line
	columnPeer                    // an address, or what is in its place
	columnNamed                   // the same, where a server may look a name up and write that (%h)
	columnStatus
	columnTime      // [22/Nov/2026:10:00:00 +0000], with the brackets
	columnLocalTime // the same without
	columnStamp     // any other stamp
	columnWord      // no blank is in it, and nothing of it is wanted
	columnAny       // a client may write it, and nothing of it is wanted
	columnRequest
	columnMethod
	columnTarget
	columnPath
	columnQuery
	columnUser
	columnAgent
	columnReferer
	columnForwarded
	columnVhost // has no blank
	columnHost  // a Host header: a client may write it
	columnPort  // the peer's
	columnLocalPort
)

// mayHoldBlanks reports whether a client may have written a blank into the column.
func (c formColumn) mayHoldBlanks() bool {
	switch c {
	case columnAny, columnRequest, columnTarget, columnPath, columnQuery, columnUser, columnAgent, columnReferer, columnForwarded, columnHost, columnMethod:
		return true
	default:
		return false
	}
}

// The forms that have a name, in Apache's words.
var namedForms = map[string]string{
	"common":         `%h %l %u %t "%r" %>s %b`,
	"combined":       `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`,
	"vhost_combined": `%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"`,
}

// ParseForm reads a form: a name (common, combined, vhost_combined), the string of Apache's LogFormat, or that of nginx'
// log_format; the whole directive is understood as well. What a line of such a log cannot prove is an error.
func ParseForm(text string) (*Form, error) {
	form := namedForms[strings.TrimSpace(text)]
	if form == "" {
		var err error
		if form, err = undirective(text); err != nil {
			return nil, err
		}
	}
	if strings.HasPrefix(strings.TrimSpace(form), "{") && strings.Contains(form, `"$`) {
		return nil, errors.New("it is a form of JSON: leave form: out, and name the keys as web-json.yaml of the rules does")
	}
	items, err := formItems(form)
	if err != nil {
		return nil, err
	}
	f := &Form{text: form, controls: controls([]byte(form))}
	if err := f.cut(items); err != nil {
		return nil, err
	}
	return f, f.check(items)
}

// String returns the form as it was declared, names and directives resolved.
func (f *Form) String() string { return f.text }

// undirective takes a LogFormat or log_format directive off a form's text, if there is one, and undoes what quotes and backslashes
// mean there.
func undirective(text string) (string, error) {
	text = strings.TrimSuffix(strings.TrimSpace(text), ";")
	name, rest := word(text)
	switch strings.ToLower(name) {
	case "logformat": // the format, and perhaps a name
		first, _, err := quotedWord(rest)
		return unbackslash(first), err
	case "log_format":
		_, rest, err := quotedWord(rest) // its name
		for err == nil && strings.HasPrefix(strings.TrimLeft(rest, `'"`), "escape=") {
			var one string
			if one, rest, err = quotedWord(rest); one == "escape=none" {
				return "", errors.New("with escape=none a client of the server writes quotes and whole lines of the log: nothing in it can be believed. Take it off")
			}
		}
		if err != nil {
			return "", err
		}
		return joined(rest)
	}
	if strings.HasPrefix(text, "'") {
		return joined(text)
	}
	if whole, after, err := quotedWord(text); err == nil && after == "" && strings.HasPrefix(text, `"`) {
		text = whole
	}
	return unbackslash(text), nil
}

// word cuts text at its first white space.
func word(text string) (first, rest string) {
	if at := strings.IndexAny(text, " \t\r\n"); at >= 0 {
		return text[:at], strings.TrimSpace(text[at:])
	}
	return text, ""
}

// quotedWord takes what is in quotes off the front of text, or a word. Backslashes are left but before a quote of that sort.
func quotedWord(text string) (first, rest string, err error) {
	if text == "" || text[0] != '\'' && text[0] != '"' {
		first, rest = word(text)
		return first, rest, nil
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == text[0]:
			return b.String(), strings.TrimSpace(text[i+1:]), nil
		case text[i] == '\\' && i+1 < len(text):
			if i++; text[i] != text[0] {
				b.WriteByte('\\')
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", errors.New("a quote is not closed")
}

// joined is what nginx makes of several strings in quotes, with comments between them.
func joined(text string) (string, error) {
	var b strings.Builder
	for text != "" {
		switch text[0] {
		case '#':
			_, text, _ = strings.Cut(text, "\n")
			text = strings.TrimSpace(text)
			continue
		case '\'', '"':
		default:
			return "", fmt.Errorf("%q is outside of quotes: write the string of log_format", text)
		}
		one, rest, err := quotedWord(text)
		if err != nil {
			return "", err
		}
		b.WriteString(one)
		text = rest
	}
	return unbackslash(b.String()), nil
}

// unbackslash undoes what both servers read in a form.
func unbackslash(text string) string {
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\'`, `'`, `\t`, "\t", `\n`, "\n", `\r`, "\r").Replace(text)
}

// formItems reads the texts and columns of a form.
func formItems(form string) (items []formItem, err error) {
	nginx := strings.Contains(form, "$")
	text := func(s string) {
		if n := len(items); n > 0 && items[n-1].column == columnText {
			items[n-1].text += s
			return
		}
		items = append(items, formItem{text: s})
	}
	for form != "" {
		var c formColumn
		n := 0
		switch {
		case nginx && form[0] == '$':
			c, n = nginxColumn(form)
		case !nginx && form[0] == '%':
			if c, n, err = apacheColumn(form); err != nil {
				return nil, err
			}
		}
		switch {
		case n == 0 && (form[0] == '$' || form[0] == '%' && !nginx):
			return nil, fmt.Errorf("%q is not a variable", form)
		case n == 0:
			text(form[:1])
			n = 1
		case c == columnText: // %%
			text("%")
		case c == columnQuery && len(items) > 0 && items[len(items)-1].column == columnPath: // %U%q
			items[len(items)-1] = formItem{column: columnTarget, text: items[len(items)-1].text + form[:n]}
		case len(items) > 0 && items[len(items)-1].column != columnText:
			return nil, fmt.Errorf("nothing is between %q and the variable before it: they cannot be distinguished", form[:n])
		default:
			items = append(items, formItem{column: c, text: form[:n]})
		}
		form = form[n:]
	}
	return items, nil
}

// nginxColumn reads a variable of nginx: $name or ${name}.
func nginxColumn(form string) (c formColumn, length int) {
	name := form[1:]
	braced := strings.HasPrefix(name, "{")
	if braced {
		name = name[1:]
	}
	n := 0
	for n < len(name) && (name[n] == '_' || name[n]-'0' <= 9 || name[n]|0x20 >= 'a' && name[n]|0x20 <= 'z') {
		n++
	}
	length = 1 + n
	if name = name[:n]; braced {
		if length += 2; length > len(form) || form[length-1] != '}' {
			return 0, 0
		}
	}
	if n == 0 {
		return 0, 0
	}
	if c, known := nginxColumns[name]; known {
		return c, length
	}
	return columnAny, length
}

// nginxColumns are the variables that mean something to us, and those of which no client writes the text.
var nginxColumns = map[string]formColumn{
	"remote_addr": columnPeer, "remote_port": columnPort, "server_port": columnLocalPort, "remote_user": columnUser,
	"time_local": columnLocalTime, "time_iso8601": columnStamp, "msec": columnStamp, "status": columnStatus,
	"request": columnRequest, "request_method": columnMethod, "request_uri": columnTarget, "uri": columnPath, "document_uri": columnPath,
	"args": columnQuery, "query_string": columnQuery, "http_user_agent": columnAgent, "http_referer": columnReferer,
	"http_x_forwarded_for": columnForwarded, "server_name": columnVhost, "host": columnHost, "http_host": columnHost,

	"body_bytes_sent": columnWord, "bytes_sent": columnWord, "request_length": columnWord, "request_time": columnWord, "connection": columnWord,
	"connection_requests": columnWord, "pipe": columnWord, "scheme": columnWord, "https": columnWord, "hostname": columnWord, "pid": columnWord,
	"request_id": columnWord, "server_addr": columnWord, "server_protocol": columnAny, "ssl_protocol": columnWord, "ssl_cipher": columnWord,
	"realip_remote_addr": columnWord, "realip_remote_port": columnWord, "gzip_ratio": columnWord, "nginx_version": columnWord,
	"upstream_addr": columnAny, "upstream_status": columnAny, "upstream_response_time": columnAny, // lists have blanks
}

// apacheColumn reads a directive of Apache's: %h, %>s, %{Referer}i, %400,501{User-Agent}i.
func apacheColumn(form string) (c formColumn, length int, err error) {
	n := 1
	for n < len(form) && strings.IndexByte("<>!,0123456789", form[n]) >= 0 {
		n++
	}
	name := ""
	if n < len(form) && form[n] == '{' {
		end := strings.IndexByte(form[n:], '}')
		if end < 0 {
			return 0, 0, errors.New("a brace is not closed")
		}
		name = strings.ToLower(form[n+1 : n+end])
		n += end + 1
	}
	if n < len(form) && form[n] == '^' {
		n += 2 // %^ti, %^to: trailers
	}
	if n >= len(form) {
		return 0, 0, nil
	}
	switch form[n] {
	case '%':
		c = columnText
	case 'h':
		c = columnNamed
	case 'a':
		c = columnPeer
	case 'u':
		c = columnUser
	case 't':
		if c = columnTime; name != "" { // a format of strftime
			if c = columnWord; strings.ContainsAny(name, " \t") || strings.Contains(name, "%c") {
				c = columnAny
			}
		}
	case 'r':
		c = columnRequest
	case 's':
		c = columnStatus
	case 'm':
		c = columnMethod
	case 'U':
		c = columnPath
	case 'q':
		c = columnQuery
	case 'v':
		c = columnVhost
	case 'V':
		c = columnHost
	case 'p':
		if c = columnLocalPort; name == "remote" {
			c = columnPort
		}
	case 'i':
		c = headerColumn(name)
	case 'b', 'B', 'O', 'I', 'S', 'D', 'T', 'k', 'P', 'A', 'X', 'L', 'R', 'l':
		if c = columnWord; form[n] == 'l' || form[n] == 'R' {
			c = columnAny // what a peer's identd says
		}
		if form[n] == 'l' && name == "" {
			c = columnWord // "-", as IdentityCheck is for a server's own network
		}
	default:
		c = columnAny
	}
	return c, n + 1, nil
}

// headerColumn is the column of a request's header.
func headerColumn(name string) formColumn {
	switch name {
	case "referer":
		return columnReferer
	case "user-agent":
		return columnAgent
	case "x-forwarded-for":
		return columnForwarded
	case "host":
		return columnHost
	default:
		return columnAny
	}
}

// cut divides the items at the quoted columns.
func (f *Form) cut(items []formItem) error {
	var part []formItem
	end := func(quoted formColumn) {
		p := formPart{front: part, quoted: quoted}
		first, last := -1, -1
		for i, it := range part {
			if it.column.mayHoldBlanks() && (i+1 == len(part) || part[i+1].text[0] >= ' ') { // a tab ends it: servers escape those of a client's
				if last = i; first < 0 {
					first = i
				}
			}
		}
		if first >= 0 {
			p.front, p.middle, p.back = part[:first], part[first:last+1], part[last+1:]
		}
		f.parts, part = append(f.parts, p), nil
	}
	for i := 0; i < len(items); i++ {
		it := items[i]
		quotes := strings.Count(it.text, `"`)
		if it.column != columnText || quotes == 0 {
			part = append(part, it)
			continue
		}
		// A text with quotes: the last one opens a quoted column, the one before it closed the last.
		for {
			at := strings.IndexByte(it.text, '"')
			if at < 0 {
				if it.text != "" {
					part = append(part, it)
				}
				break
			}
			if before := it.text[:at]; before != "" {
				part = append(part, formItem{text: before})
			}
			rest := it.text[at+1:]
			if rest != "" || i+2 >= len(items) || items[i+1].column == columnText || !strings.HasPrefix(items[i+2].text, `"`) || items[i+2].column != columnText {
				return fmt.Errorf("a quote must be around one variable: %q", it.text)
			}
			end(items[i+1].column)
			it = formItem{text: items[i+2].text[1:]}
			i += 2
		}
	}
	end(columnNone)
	return nil
}

// check says what is missing from a form, or what a line of it cannot prove.
func (f *Form) check(items []formItem) error {
	count := map[formColumn]int{}
	for _, it := range items {
		count[it.column]++
	}
	switch peers := count[columnPeer] + count[columnNamed]; {
	case peers == 0:
		return errors.New("it has no column with the peer's address: %h or %a of Apache, $remote_addr of nginx. What a header says is chosen by its client")
	case peers > 1:
		return errors.New("it has several columns with the peer's address: %h, %a, $remote_addr. Keep one")
	case count[columnRequest]+count[columnTarget]+count[columnPath] != 1:
		return errors.New("it needs one column with the request: %r or $request, or else $request_uri, %U or $uri")
	case count[columnStatus] == 0:
		return errors.New("it has no status: %>s or $status")
	}
	for i := range f.parts {
		if wide := slices.DeleteFunc(slices.Clone(f.parts[i].middle), func(it formItem) bool { return !it.column.mayHoldBlanks() }); len(wide) > 2 {
			return fmt.Errorf("%s, %s and %s are without quotes, and a client may write blanks into all of them: put \"quotes\" around them in the server's form", wide[0].text, wide[1].text, wide[2].text)
		}
	}
	return nil
}
