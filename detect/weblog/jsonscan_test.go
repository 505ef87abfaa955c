package weblog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// inStandardJSON writes \x22, which nginx writes for a quote, as \u0022; ok is false where it would be a byte of more than seven bits,
// which package json does not know.
func inStandardJSON(line []byte) (standard []byte, ok bool) {
	for i := 0; i < len(line); i++ {
		switch rest := line[i:]; {
		case rest[0] != '\\' || len(rest) == 1:
			standard = append(standard, rest[0])
		case rest[1] == 'x' && len(rest) > 3 && hexDigit(rest[2]) < 16 && hexDigit(rest[3]) < 16:
			if hexDigit(rest[2]) > 7 {
				return nil, false
			}
			standard = append(append(standard, `\u00`...), rest[2], rest[3])
			i += 3
		default:
			standard = append(standard, rest[:2]...)
			i++
		}
	}
	return standard, true
}

// withNulls writes null where nginx writes a hyphen or nothing for a value that there is not.
func withNulls(standard []byte) (all []byte) {
	text := false
	for i := 0; i < len(standard); i++ {
		c := standard[i]
		all = append(all, c)
		switch {
		case text && c == '\\' && i+1 < len(standard):
			i++
			all = append(all, standard[i])
		case c == '"':
			text = !text
		case c == ':' && !text:
			rest := bytes.TrimPrefix(bytes.TrimLeft(standard[i+1:], " \t\r\n"), []byte("-"))
			if len(rest) > 0 && (rest[0] == ',' || rest[0] == '}') {
				all, i = append(all, "null"...), len(standard)-len(rest)-1
			}
		}
	}
	return all
}

// oracle compares a scan with package encoding/json.
func oracle(t *testing.T, tree *jsonTree, paths []string, line []byte) {
	t.Helper()
	s := jsonScan{tree: tree, line: line}
	ok := s.scan()
	var whole any
	standard, known := inStandardJSON(line)
	if !known {
		return
	}
	standard = withNulls(standard)
	d := json.NewDecoder(bytes.NewReader(standard))
	d.UseNumber()
	err := d.Decode(&whole)
	object, isObject := whole.(map[string]any)
	if want := err == nil && isObject && json.Valid(standard); ok != want {
		if want && bytes.Count(line, []byte("["))+bytes.Count(line, []byte("{")) > maxJSONDepth {
			return
		}
		t.Fatalf("%q is an object: %v, not %v", line, ok, want)
	}
	if !ok || s.twice || !utf8.Valid(line) {
		return
	}
	for _, path := range paths {
		keys, _ := cutPath(path)
		slot, _ := tree.add(path)
		var v any = object
		for _, key := range keys {
			switch in := v.(type) {
			case map[string]any:
				v = in[key]
			case []any:
				v = nil
				for i := range in {
					if fmt.Sprint(i) == key {
						v = in[i]
					}
				}
			default:
				v = nil
			}
		}
		found := s.values[slot]
		text := string(s.bytes(found))
		if found.kind == jsonEscapedText {
			text = string(unescapeJSON([]byte(text)))
		}
		want := ""
		switch v := v.(type) {
		case string:
			want = v
		case json.Number:
			want = v.String()
		case bool:
			want = fmt.Sprint(v)
		}
		if text != want {
			t.Fatalf("%q: %s is %q, not %q", line, path, text, want)
		}
	}
}

// oracleTree has paths of all shapes.
func oracleTree(t testing.TB) (*jsonTree, []string) {
	t.Helper()
	paths := []string{"a", "b.a", "b[1]", "b.c[0].a", `x\.y`, "c.0.b", "é"}
	tree := newJSONTree()
	for _, p := range paths {
		if _, err := tree.add(p); err != nil {
			t.Fatal(err)
		}
	}
	return &tree, paths
}

// TestJSONOracle writes random objects, whole and damaged.
func TestJSONOracle(t *testing.T) {
	tree, paths := oracleTree(t)
	g := rand.New(rand.NewPCG(10, 10))
	pick := func(from ...string) string { return from[g.IntN(len(from))] }
	space := func() string { return pick("", "", "", " ", "\t", "\n ") }
	text := func() string {
		return `"` + pick("", "a", "b", "c", "x.y", "é", `\u0061`, `\"`, `\\`, `\/`, `\ud83d\ude00`, `\ud83d`, `\ude00\n`, "0123456789abcdef", `abcdefg\tx`) + `"`
	}
	var value func(depth int) string
	value = func(depth int) string {
		k := g.IntN(10)
		if depth > 4 {
			k = g.IntN(6)
		}
		switch {
		case k < 3:
			return text()
		case k < 6:
			return pick("0", "-1", "1.5", "1e5", "-0.25E-3", "12345", "true", "false", "null")
		}
		var all []string
		for range g.IntN(4) {
			one := value(depth + 1)
			if k >= 8 {
				one = pick(`"a"`, `"b"`, `"c"`, `"x.y"`, `"\u0062"`, `"é"`, text()) + space() + ":" + space() + one
			}
			all = append(all, space()+one+space())
		}
		if k >= 8 {
			return "{" + strings.Join(all, ",") + "}"
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	for range 12_000 {
		line := []byte(`{"b":` + value(0) + `,"c":` + value(1) + `,"a":` + value(2) + `}`)
		oracle(t, tree, paths, line)
		oracle(t, tree, paths, line[:g.IntN(len(line))])
		line[g.IntN(len(line))] = "{}[]\",:\\u0e-+. \x01\xff"[g.IntN(17)]
		oracle(t, tree, paths, line)
	}
}

// FuzzScan compares any line with package encoding/json.
func FuzzScan(f *testing.F) {
	tree, paths := oracleTree(f)
	for _, line := range []string{`{"a":-,"b":,"c": - }`, `{"a":1,"b":{"a":"x","c":[{"a":"\u00e9\ud83d\ude00"}]},"x.y":true}`, `{"b":[1,-2.5e3],"c":[{"b":null}]}`, `{"\u0061":"\\\"\/"}`, `{"a":"\x22\x5cx\\x22"}`, `{"a":"0123456789\n"}`,
		`{"ts":1795300000.5,"logger":"http.log","request":{"remote_ip":"203.0.113.5","headers":{"User-Agent":["zGrab/1"]}},"user_id":"","status":404}`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) { oracle(t, tree, paths, line) })
}
