package fail2ban

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Bounds of what is read.
const (
	maxFile  = 1 << 20 // bytes of one file
	maxFiles = 64      // with all that are included
	maxValue = 1 << 18 // bytes of a value when everything in it is written out
	maxTimes = 500     // replacements in one value
)

// line is a line of a value, and where it stands.
type line struct {
	text string
	file string
	at   int
}

// value is a setting's value. Most have one line.
type value []line

func (v value) String() string {
	texts := make([]string, len(v))
	for i, l := range v {
		texts[i] = l.text
	}
	return strings.Join(texts, "\n")
}

// section is the settings below one [heading], by name in lower case.
type section map[string]value

// config is a filter with everything that it includes.
type config struct {
	sections map[string]section
	known    map[string]section // what a later file replaced, by section
	files    int
}

const (
	defaults   = "DEFAULT"
	definition = "Definition"
	initial    = "Init"
	includes   = "INCLUDES"
)

// readConfig reads the filter at path, its .local file and all that they include.
func readConfig(path string) (*config, error) {
	c := &config{sections: map[string]section{}, known: map[string]section{}}
	if err := c.readWithLocal(path, nil); err != nil {
		return nil, err
	}
	if c.sections[definition] == nil {
		return nil, fmt.Errorf("%s has no [Definition]: it is not a filter", path)
	}
	return c, nil
}

// readWithLocal reads a file and the one with the ending .local beside it. What is included and does not exist is left
// out, as fail2ban does.
func (c *config) readWithLocal(path string, parents []string) error {
	if err := c.read(path, parents); err != nil {
		return err
	}
	local := strings.TrimSuffix(path, filepath.Ext(path)) + ".local"
	if local == path {
		return nil
	}
	if err := c.read(local, append(parents, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (c *config) read(path string, parents []string) error {
	for _, p := range parents {
		if p == path {
			return nil
		}
	}
	if c.files++; c.files > maxFiles {
		return fmt.Errorf("%s: more than %d files include each other", path, maxFiles)
	}
	content, err := readBounded(path)
	if err != nil {
		return err
	}
	own, err := parseINI(filepath.Base(path), content)
	if err != nil {
		return err
	}
	include := func(name string) error {
		for _, l := range own[includes][name] {
			other := strings.TrimSpace(l.text)
			if other == "" {
				continue
			}
			if !filepath.IsAbs(other) {
				other = filepath.Join(filepath.Dir(path), other)
			}
			if err := c.readWithLocal(other, append(parents, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}
	if err := include("before"); err != nil {
		return err
	}
	c.merge(own)
	return include("after")
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, maxFile)
	}
	return os.ReadFile(path)
}

// merge takes the sections of a file. A section of a file that came before keeps what it had as "known".
func (c *config) merge(own map[string]section) {
	for name, s := range own {
		if c.sections[name] == nil {
			c.sections[name] = section{}
		}
		for key, v := range s {
			if before, replaced := c.sections[name][key]; replaced {
				if c.known[name] == nil {
					c.known[name] = section{}
				}
				c.known[name][key] = before
			}
			c.sections[name][key] = v
		}
	}
}

// parseINI reads a file as Python's configparser does: a line that is indented deeper than its key goes on with the value,
// "#" and ";" begin a comment on a line of its own, and ";" after a blank or a tab begins one anywhere.
func parseINI(file string, content []byte) (map[string]section, error) {
	comment := regexp.MustCompile(`[ \t]+;.*`)
	all := map[string]section{}
	var current section
	key, depth := "", 0
	for i, raw := range bytes.Split(content, []byte("\n")) {
		text := strings.TrimRight(string(raw), " \t\r")
		bare := strings.TrimLeft(text, " \t")
		if bare == "" {
			if key != "" {
				current[key] = append(current[key], line{"", file, i + 1})
			}
			continue
		}
		if bare[0] == '#' || bare[0] == ';' {
			continue
		}
		text = comment.ReplaceAllString(text, "")
		bare = strings.TrimLeft(text, " \t")
		indent := len(text) - len(bare)
		if key != "" && indent > depth {
			current[key] = append(current[key], line{bare, file, i + 1})
			continue
		}
		depth = indent
		if name, ok := heading(bare); ok {
			if all[name] == nil {
				all[name] = section{}
			}
			current, key = all[name], ""
			continue
		}
		at := strings.IndexAny(bare, "=:")
		if current == nil || at <= 0 {
			return nil, fmt.Errorf("%s:%d: neither a [section] nor a setting with a value", file, i+1)
		}
		key = strings.ToLower(strings.TrimSpace(bare[:at]))
		current[key] = value{{strings.TrimSpace(bare[at+1:]), file, i + 1}}
	}
	for _, s := range all {
		for key, v := range s {
			for len(v) > 1 && v[len(v)-1].text == "" {
				v = v[:len(v)-1]
			}
			s[key] = v
		}
	}
	return all, nil
}

func heading(bare string) (name string, ok bool) {
	if bare[0] != '[' {
		return "", false
	}
	end := strings.IndexByte(bare, ']')
	if end < 2 {
		return "", false
	}
	return bare[1:end], true
}

// find returns the value of a setting as it is written: "name" of the section or of DEFAULT, "section/name" of another
// section, or "known/name", what name was before.
func (c *config) find(in, name string) (value, bool) {
	name = strings.TrimSpace(name)
	if other, rest, qualified := strings.Cut(name, "/"); qualified {
		rest = strings.ToLower(rest)
		from := c.sections[other]
		if strings.EqualFold(other, "known") {
			from = c.known[in]
		} else if strings.EqualFold(other, defaults) {
			from = c.sections[defaults]
		}
		if v, ok := from[rest]; ok {
			return v, true
		}
		v, ok := c.sections[defaults][rest]
		return v, ok
	}
	name = strings.ToLower(name)
	if v, ok := c.sections[in][name]; ok {
		return v, true
	}
	v, ok := c.sections[defaults][name]
	return v, ok
}

// get returns a setting of the filter with its %(variables)s written out; nil if there is none. [Init] comes before [Definition].
func (c *config) get(name string) (value, error) {
	in := definition
	if _, own := c.sections[initial][strings.ToLower(name)]; own {
		in = initial
	}
	v, ok := c.find(in, name)
	if !ok {
		return nil, nil
	}
	return c.variables(in, v)
}

// variables writes out %(name)s.
func (c *config) variables(in string, v value) (value, error) {
	form := regexp.MustCompile(`%(?:%|\(([^)]+)\)s)`)
	times := 0
	return substitute(v, func(text string, from int) (int, int, value, error) {
		m := form.FindStringSubmatchIndex(text[from:])
		if m == nil {
			return -1, 0, nil, nil
		}
		if m[2] < 0 {
			return from + m[0], from + m[1], nil, nil // %% is a percent sign: see below
		}
		if times++; times > maxTimes {
			return 0, 0, nil, fmt.Errorf("%%(%s)s refers to itself", text[from+m[2]:from+m[3]])
		}
		name := text[from+m[2] : from+m[3]]
		v, ok := c.find(in, name)
		if !ok {
			return 0, 0, nil, fmt.Errorf("there is no setting %%(%s)s", name)
		}
		return from + m[0], from + m[1], v, nil
	})
}

// substitute replaces what next finds in v, from left to right; what is put in is searched too. Where next finds
// something and has no value for it, it stays and the search goes on behind it. A value of several lines makes lines of
// its own, which keep their place.
func substitute(v value, next func(text string, from int) (start, end int, with value, err error)) (value, error) {
	var out value
	todo := append(value(nil), v...)
	from, size := 0, 0
	for len(todo) > 0 {
		l := todo[0]
		start, end, with, err := next(l.text, from)
		switch {
		case err != nil:
			return nil, err
		case start < 0:
			out, todo, from = append(out, l), todo[1:], 0
			size += len(l.text)
			continue
		case with == nil:
			from = end
			continue
		}
		if size += len(l.text); size > maxValue {
			return nil, errors.New("it is too large when everything in it is written out, or refers to itself")
		}
		front, back := l.text[:start], l.text[end:]
		lines := append(value(nil), with...)
		if strings.TrimSpace(front) != "" {
			lines[0].file, lines[0].at = l.file, l.at
		}
		lines[0].text = front + lines[0].text
		lines[len(lines)-1].text += back
		todo, from = append(lines, todo[1:]...), len(front)
	}
	return out, nil
}

// tags writes out <name> by the filter's settings. Innermost tags come first, so that <mdre-<mode>> works. A tag that names no setting stays: <HOST>.
func (c *config) tags(v value) (value, error) {
	form := regexp.MustCompile(`<([^ <>]+)>`)
	times := 0
	for {
		again := false
		out, err := substitute(v, func(text string, from int) (int, int, value, error) {
			m := form.FindStringSubmatchIndex(text[from:])
			if m == nil {
				return -1, 0, nil, nil
			}
			name := text[from+m[2] : from+m[3]]
			v, err := c.get(name)
			if v == nil {
				return from + m[0], from + m[1], nil, err
			}
			if times++; times > maxTimes {
				return 0, 0, nil, fmt.Errorf("<%s> refers to itself", name)
			}
			again = true
			return from + m[0], from + m[1], v, nil
		})
		if err != nil || !again {
			return out, err
		}
		v = out
	}
}

// full returns a setting of the filter with everything in it written out; nil if there is none.
func (c *config) full(name string) (value, error) {
	v, err := c.get(name)
	if err != nil || v == nil {
		return nil, err
	}
	if v, err = c.tags(v); err != nil {
		return nil, err
	}
	for i := range v {
		v[i].text = strings.ReplaceAll(v[i].text, "%%", "%")
	}
	return v, nil
}
