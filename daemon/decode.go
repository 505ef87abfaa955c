package daemon

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tattled/setting"
)

// maxNodes bounds what a configuration may expand to through aliases.
const maxNodes = 100_000

// decoder fills a struct from a YAML tree, strictly: a key that no field has, a key twice and a value of the wrong form
// are faults, and all of them are found in one go. It remembers where each setting stands, so that faults found later
// (by a Config's Check) can be shown at their line.
type decoder struct {
	lines  map[string]int  // dotted path -> line
	faulty map[string]bool // dotted paths that could not be read
	fault  func(line int, path, problem string)
	budget int
}

// refuse notes that a setting cannot be read.
func (d *decoder) refuse(line int, path, problem string) {
	d.faulty[path] = true
	d.fault(line, path, problem)
}

func (d *decoder) value(n *yaml.Node, path string, v reflect.Value) {
	d.budget--
	if d.budget < 0 {
		if d.budget == -1 {
			d.refuse(n.Line, path, "the file expands to too many values: use fewer aliases")
		}
		return
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if path != "" {
		d.lines[path] = n.Line
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, path, v.Elem())
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // "journal:" with nothing behind it: the defaults
	}
	if v.CanAddr() && isText(v.Addr().Type()) {
		d.text(n, path, v.Addr().Interface().(encoding.TextUnmarshaler))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, path, v)
	case reflect.Slice:
		d.sequence(n, path, v)
	default:
		d.scalar(n, path, v)
	}
}

// isText reports whether values of t read themselves from a text.
func isText(t reflect.Type) bool { return t.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) }

func (d *decoder) text(n *yaml.Node, path string, into encoding.TextUnmarshaler) {
	if n.Kind != yaml.ScalarNode {
		d.refuse(n.Line, path, "a single value belongs here, not a "+formOf(n))
		return
	}
	if err := into.UnmarshalText([]byte(n.Value)); err != nil {
		d.refuse(n.Line, path, err.Error())
	}
}

func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.refuse(n.Line, path, fmt.Sprintf("settings belong here (one of %s), not a %s", strings.Join(keysOf(v.Type()), ", "), formOf(n)))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := join(path, key.Value)
		if first, twice := seen[key.Value]; twice {
			d.refuse(key.Line, at, fmt.Sprintf("stands twice, first in line %d: keep one", first))
			continue
		}
		seen[key.Value] = key.Line
		field, ok := fieldOf(v, key.Value)
		if !ok {
			d.refuse(key.Line, at, unknownKey(key.Value, keysOf(v.Type())))
			continue
		}
		d.value(val, at, field)
		d.lines[at] = key.Line
	}
}

// sequence also takes a single value where a list of one is meant, as people write it ("allow: 10.0.0.0/8").
func (d *decoder) sequence(n *yaml.Node, path string, v reflect.Value) {
	items := n.Content
	if n.Kind != yaml.SequenceNode {
		if v.Type().Elem().Kind() == reflect.Struct && !isText(reflect.PointerTo(v.Type().Elem())) {
			d.refuse(n.Line, path, "a list belongs here: begin each entry with \"- \"")
			return
		}
		items = []*yaml.Node{n}
	}
	out := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		d.value(item, path+"["+strconv.Itoa(i)+"]", out.Index(i))
	}
	v.Set(out)
}

func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.refuse(n.Line, path, fmt.Sprintf("%s belongs here, not a %s", wanted(v), formOf(n)))
		return
	}
	if v.Kind() == reflect.String {
		v.SetString(n.Value) // "yes" and 022 are taken as written
		return
	}
	if err := n.Decode(v.Addr().Interface()); err != nil {
		d.refuse(n.Line, path, fmt.Sprintf("%q is not %s", n.Value, wanted(v)))
	}
}

func wanted(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<min(v.Type().Bits(), 63)-1)
	default:
		return "a whole number"
	}
}

func formOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "mapping"
	case yaml.SequenceNode:
		return "list"
	default:
		return "single value" // which may be a secret that belongs elsewhere
	}
}

// fieldOf finds the field whose yaml tag is key, embedded structs tagged ",inline" included.
func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		name, inline := tagOf(v.Type().Field(i))
		if inline {
			if f, ok := fieldOf(v.Field(i), key); ok {
				return f, true
			}
		} else if name != "" && name == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func keysOf(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		name, inline := tagOf(t.Field(i))
		if inline {
			keys = append(keys, keysOf(t.Field(i).Type)...)
		} else if name != "" {
			keys = append(keys, name)
		}
	}
	return keys
}

func tagOf(f reflect.StructField) (name string, inline bool) {
	name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return "", false
	}
	return name, options == "inline"
}

func unknownKey(key string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if n := setting.EditDistance(key, k); n < distance {
			best, distance = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf("no such setting: did you mean %q?", best)
	}
	return "no such setting: there are " + strings.Join(known, ", ")
}

func join(path, key string) string {
	if path == "" || strings.HasPrefix(key, "[") {
		return path + key
	}
	return path + "." + key
}
