package detect

import "tattled/detect/rulefile"

// LoadFile compiles one rule file that is not in any directory: for tools that write rule files. With beside set it is
// compiled together with the built-in rules, as if it were the only one in the user's directory. name is what its faults are
// told with.
func LoadFile(name string, content []byte, beside bool) (*Rules, []Fault) {
	l := loader{builtin: builtin}
	if beside {
		l.addAll(builtin, "rules", "", false)
	}
	f := rulefile.Faults{File: name}
	if form, ok := rulefile.Decode(content, &f); ok {
		l.add(&form, true, &f)
	}
	if l.faults = append(l.faults, f.All...); len(l.faults) > 0 {
		return nil, l.faults
	}
	r := l.compile()
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	return r, nil
}
