// Package document reads YAML into a struct, strictly: a key that no field has, a key twice and a value of the wrong
// form are faults, and all of them are found at once, each with its line. The configuration and the shipped policies are read
// by it. It opens no file, and knows nothing of what a value means: that is for the Check of each section.
package document

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"tattled/setting"
)

// maxNodes bounds what a text may expand to through aliases.
const maxNodes = 100_000

// Document remembers where each setting of a text is, so that what is found out about it later can be shown at its line. The
// zero Document is that of an empty text.
type Document struct {
	lines  map[string]int  // dotted path -> line
	faulty map[string]bool // dotted paths that could not be read
}

// Decode reads text into the struct that into points to, by the yaml tags of its fields. A field with a TextUnmarshaler reads
// itself. fault is called for everything that is wrong, with the line (0 where there is none) and the dotted path ("" where
// there is none); a setting that is at fault keeps the value that it had. Decode reports whether text is YAML at all. A number
// or a duration that is written as 0 is a fault, because for a field 0 stands for its default; the tag zero:"default" says that
// the default is 0. A value with the methods Names() []string and Section(name string) any is a mapping whose settings are not the
// fields of one struct: Section returns a pointer to the value of a setting, nil for one that Names does not name.
func Decode(text []byte, into any, fault func(line int, path, problem string)) (d Document, ok bool) {
	d = Document{lines: map[string]int{}, faulty: map[string]bool{}}
	r := decoder{Document: d, fault: fault, budget: maxNodes}
	reader := yaml.NewDecoder(bytes.NewReader(text))
	var root, second yaml.Node
	switch err := reader.Decode(&root); {
	case errors.Is(err, io.EOF):
		return d, true // an empty text: all defaults
	case err != nil:
		line, problem := syntax(err)
		fault(line, "", problem)
		return d, false
	}
	r.value(root.Content[0], "", reflect.ValueOf(into).Elem())
	if err := reader.Decode(&second); !errors.Is(err, io.EOF) {
		fault(second.Line, "", `a second document begins here ("---"): only one is read`)
	}
	return d, true
}

// syntax takes an error of the YAML parser apart.
func syntax(err error) (line int, problem string) {
	m := regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`).FindStringSubmatch(err.Error())
	if m == nil {
		return 0, err.Error()
	}
	line, _ = strconv.Atoi(m[1])
	return line, "not YAML: " + m[2]
}

// Line returns the line of a setting, or of the nearest setting around it that the text has; 0 if there is none.
func (d Document) Line(path string) int {
	for path != "" {
		if n, ok := d.lines[path]; ok {
			return n
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 0
}

// Has reports whether the text has the setting itself.
func (d Document) Has(path string) bool { return d.lines[path] > 0 }

// Faulty reports whether the setting is there and could not be read.
func (d Document) Faulty(path string) bool { return d.faulty[path] }

// decoder is a Decode under way.
type decoder struct {
	Document
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
	n = target(n)
	if path != "" {
		d.lines[path] = n.Line
	}
	if v.Kind() == reflect.Pointer {
		if isNull(n) && v.Type().Elem().Kind() != reflect.Struct {
			return // a single value that was left out is not its zero
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, path, v.Elem())
		return
	}
	if isNull(n) {
		return // "journal:" with nothing after it: the defaults
	}
	if v.CanAddr() && IsText(v.Addr().Type()) {
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

// IsText reports whether values of t read themselves from a text.
func IsText(t reflect.Type) bool { return t.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) }

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
	fields := Fields(v)
	if n.Kind != yaml.MappingNode {
		d.refuse(n.Line, path, fmt.Sprintf("settings belong here (one of %s), not a %s", strings.Join(keysOf(fields), ", "), formOf(n)))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at := Join(path, key.Value)
		if first, twice := seen[key.Value]; twice {
			d.refuse(key.Line, at, fmt.Sprintf("appears twice, first in line %d: keep one", first))
			continue
		}
		seen[key.Value] = key.Line
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == key.Value })
		if i < 0 {
			d.refuse(key.Line, at, unknownKey(key.Value, keysOf(fields)))
			continue
		}
		field := fields[i].Value
		d.value(val, at, field)
		d.lines[at] = key.Line
		if !d.faulty[at] && isNumber(field) && field.IsZero() && !isNull(target(val)) && !fields[i].zero {
			d.refuse(key.Line, at, target(val).Value+" is not possible here: write what is above it, or leave the setting out for its default")
		}
	}
}

// sequence also takes a single value where a list of one is meant, as people write it ("allow: 10.0.0.0/8").
func (d *decoder) sequence(n *yaml.Node, path string, v reflect.Value) {
	items := n.Content
	if n.Kind != yaml.SequenceNode {
		if v.Type().Elem().Kind() == reflect.Struct && !IsText(reflect.PointerTo(v.Type().Elem())) {
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
		return "a string"
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

// target returns what an alias stands for.
func target(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// isNull reports whether a value was left out after its key.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// isNumber reports whether v is a number or a duration, of which 0 stands for a default.
func isNumber(v reflect.Value) bool {
	if v.CanAddr() && IsText(v.Addr().Type()) {
		return v.Type() == reflect.TypeFor[setting.Duration]()
	}
	return v.CanInt() || v.CanUint() || v.CanFloat()
}

// sections is a mapping whose settings are not the fields of one struct.
type sections interface {
	Names() []string
	Section(name string) any
}

// Field is one setting of a mapping.
type Field struct {
	Name  string
	Value reflect.Value // which can be set
	zero  bool          // its default is 0
}

// Fields returns the settings of v, which is an addressable struct: those that its yaml tags name (the fields of embedded structs tagged
// ",inline" in their place), or those that its own methods do, as for Decode. It is nil for any other v.
func Fields(v reflect.Value) []Field {
	var all []Field
	if !v.CanAddr() {
		return nil
	}
	if s, is := v.Addr().Interface().(sections); is {
		for _, name := range s.Names() {
			all = append(all, Field{Name: name, Value: reflect.ValueOf(s.Section(name)).Elem()})
		}
		return all
	}
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case options == "inline":
			all = append(all, Fields(v.Field(i))...)
		case name != "":
			all = append(all, Field{name, v.Field(i), f.Tag.Get("zero") == "default"})
		}
	}
	return all
}

func keysOf(fields []Field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.Name
	}
	return keys
}

func unknownKey(key string, known []string) string {
	if best := setting.Nearest(key, known); best != "" {
		return fmt.Sprintf("no such setting: did you mean %q?", best)
	}
	return "no such setting: there are " + strings.Join(known, ", ")
}

// Join returns the path of a key, or of an entry like "[2]", below path.
func Join(path, key string) string {
	if path == "" || strings.HasPrefix(key, "[") {
		return path + key
	}
	return path + "." + key
}
