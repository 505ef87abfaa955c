package detect

// LoadFile compiles one rule file by itself, without the rules that are built in: for tools that write rule files. name is
// what its faults are told with.
func LoadFile(name string, content []byte) (*Rules, []Fault) {
	l := loader{builtin: builtin}
	f := faults{file: name}
	if form, ok := decode(content, &f); ok {
		l.add(&form, true, &f)
	}
	if l.faults = append(l.faults, f.all...); len(l.faults) > 0 {
		return nil, l.faults
	}
	r := l.compile()
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	return r, nil
}
