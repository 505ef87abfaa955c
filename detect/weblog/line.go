package weblog

import (
	"encoding/json"
	"fmt"
	"strings"

	"tattled/detect/rulefile"
)

// Lines of the logs that parsers read, written as their servers would with whatever a client sends. They are for trying
// whether somebody who chooses his words can have another one blamed.

// Line writes a line of an access log that is made to match a rule, by its number in the file. text is asked for each of
// the things that a client chooses. They and forwarded are escaped as Apache does, or as nginx does.
func (a *Access) Line(rule int, peer, forwarded string, nginx bool, text func() string) string {
	escape := AsApache
	if nginx {
		escape = AsNginx
	}
	where := &a.file.Rules[rule].Where
	user := escape(text())
	switch {
	case user == "" && nginx:
		user = "-"
	case user == "":
		user = `""`
	}
	host := ""
	if where.Values("vhost") != nil {
		host = escape(like(where, "vhost", text)) + ":443 "
	}
	return fmt.Sprintf(`%s%s - %s [22/Nov/2026:10:00:00 +0000] "%s" %s 512 "%s" "%s" "%s"`, host, peer, user,
		escape(requestLike(where, text)), statusLike(where), escape(like(where, "referer", text)), escape(like(where, "agent", text)), escape(forwarded))
}

// like writes a value that suits the first one which is asked of a field, with text for its stars and for the whole where
// none is asked.
func like(l *rulefile.Lists, field string, text func() string) string {
	values := l.Values(field)
	if values == nil {
		return text()
	}
	parts := strings.Split(values[0].Value, "*")
	var b strings.Builder
	for i, p := range parts {
		if i > 0 {
			b.WriteString(text())
		}
		b.WriteString(p)
	}
	return b.String()
}

// statusLike is one that suits what is asked.
func statusLike(l *rulefile.Lists) string {
	if values := l.Values("status"); values != nil {
		return strings.ReplaceAll(values[0].Value, "x", "0")
	}
	return "404"
}

// requestLike is the first line of a request that suits what is asked.
func requestLike(l *rulefile.Lists, text func() string) string {
	if l.Values("target") != nil && l.Values("method") == nil {
		return like(l, "target", text)
	}
	method := "GET"
	if values := l.Values("method"); values != nil {
		method = values[0].Value
	}
	target := like(l, "target", text)
	if l.Values("target") == nil {
		target = "/" + strings.TrimPrefix(like(l, "path", text), "/") + "?" + like(l, "query", text)
	}
	return method + " " + target + " HTTP/1.1"
}

// AsApache escapes a text as ap_escape_logitem does (server/util.c).
func AsApache(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch k := strings.IndexByte("\b\n\r\t\v", c); {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case k >= 0:
			b.WriteByte('\\')
			b.WriteByte("bnrtv"[k])
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// AsNginx escapes a text as ngx_http_log_escape does (src/http/modules/ngx_http_log_module.c).
func AsNginx(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == '"' || c == '\\' || c < ' ' || c > '~' {
			fmt.Fprintf(&b, `\x%02X`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Line writes an object that is made to match a rule, by its number in the file, with a value at the first path of each
// field. Of forwarded it makes a list of one; text is asked for everything else that a client chooses.
func (j *JSON) Line(rule int, peer, forwarded string, text func() string) string {
	where := &j.file.Rules[rule].Where
	request := requestLike(where, text)
	method, target, _ := strings.Cut(request, " ")
	target = strings.TrimSuffix(target, " HTTP/1.1")
	var top any = map[string]any{}
	for _, f := range j.file.Fields.All {
		if f.Name.Value == "request" && j.roles[jsonTarget] != nil {
			continue // an object has one of them
		}
		if f.Name.Value == "claimed" {
			continue // it is for objects without the peer
		}
		var value any
		switch f.Name.Value {
		case "ip":
			value = peer
		case "port", "local_port":
			value = 40022
		case "time":
			value = 1795300000.25
		case "forwarded":
			value = []any{forwarded}
		case "status":
			value = json.Number(statusLike(where))
		case "method":
			value = method
		case "request":
			value = request
		case "target":
			value = target
		default:
			value = like(where, f.Name.Value, text)
		}
		keys, _ := cutPath(f.Values[0].Value)
		top = put(top, keys, value)
	}
	b, _ := json.Marshal(top) // of maps, lists, texts and numbers it cannot fail
	return string(b)
}

// put puts a value at a path below what is there, and returns that.
func put(at any, keys []string, value any) any {
	if len(keys) == 0 {
		return value
	}
	if keys[0] == "0" {
		var first any
		if list, ok := at.([]any); ok { // of another field's path
			first = list[0]
		}
		return []any{put(first, keys[1:], value)}
	}
	in, ok := at.(map[string]any)
	if !ok {
		in = map[string]any{}
	}
	in[keys[0]] = put(in[keys[0]], keys[1:], value)
	return in
}
