package policy

import (
	_ "embed"
	"fmt"
	"reflect"
	"slices"

	"tattled/setting/document"
)

//go:embed defaults.yaml
var shipped []byte

// Shipped returns the text of the policies that come with tattled, as a part of a configuration: what `tattled check --policies`
// prints. docs/honest.md has the sequences of honest peers that they were drawn for, and what becomes of each.
func Shipped() string { return string(shipped) }

// Defaults returns the policies that come with tattled: what Shipped says.
func Defaults() []Config {
	var file struct {
		Policy []Config `yaml:"policy"`
	}
	document.Decode(shipped, &file, func(line int, path, problem string) {
		panic(fmt.Sprintf("defaults.yaml:%d: %s: %s", line, path, problem)) // which every test would have found
	})
	return file.Policy
}

func shippedNames() []string {
	var names []string
	for _, c := range Defaults() {
		names = append(names, c.Name)
	}
	return names
}

// With returns the policies that are in effect where a configuration has the list l: those of base, each with what l has of its
// name in its place, then the others of l, and of all these what is not switched off.
func (l List) With(base []Config) []Config {
	all := slices.Clone(base)
	for _, c := range l {
		if i := slices.IndexFunc(base, func(b Config) bool { return b.Name == c.Name }); i >= 0 {
			all[i] = c
		} else {
			all = append(all, c)
		}
	}
	return slices.DeleteFunc(all, Config.off)
}

func (c Config) off() bool { return c.Enabled != nil && !*c.Enabled }

// bare reports whether nothing but a name and a switch is written.
func (c *Config) bare() bool {
	rest := *c
	rest.Name, rest.Enabled = "", nil
	return isEmpty(reflect.ValueOf(rest))
}

// IsZero reports whether there is no condition, so that every event counts.
func (w *When) IsZero() bool { return isEmpty(reflect.ValueOf(*w)) }

// isEmpty reports whether a setting, or all that is in a section, was left out or is an empty list.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice:
		return v.Len() == 0
	case reflect.Struct:
		for i := range v.NumField() {
			if !isEmpty(v.Field(i)) {
				return false
			}
		}
		return true
	default:
		return v.IsZero()
	}
}
