package detect

import (
	"fmt"
	"slices"
	"strings"

	"tattled/detect/pattern"
	"tattled/detect/rulefile"
)

// uncovered returns a fault for each pattern that needs a cover and has none.
func (r *Rules) uncovered() []Fault {
	var found []Fault
	for _, s := range r.services {
		type written struct {
			at       rulefile.Text
			rule     *Rule
			variants []pattern.Variant
		}
		var all []written
		for _, rule := range slices.Concat(r.rulesOf(s), s.shadow) {
			for _, p := range rule.match {
				variants, _ := pattern.Compile(p.Value, rule.owner(), s.frame) // Load told of one that cannot be compiled
				all = append(all, written{p, rule, variants})
			}
		}
		covered := func(v *pattern.Variant) bool {
			return slices.ContainsFunc(all, func(p written) bool {
				return slices.ContainsFunc(p.variants, func(k pattern.Variant) bool { return k.Covers(v) })
			})
		}
		for _, p := range all {
			for i := range p.variants {
				if v := &p.variants[i]; v.Inner() && !v.None && p.rule.Index >= 0 && !covered(v) {
					cover := v.Cover(s.frame)
					found = append(found, Fault{File: s.File, Line: p.at.Line, Cover: cover, Problem: fmt.Sprintf("match: a peer's text may be on both sides of the address in this pattern of rule %s, "+
						"and nothing describes other lines that begin alike, in which it could be all of it: add to a rule of kind: none at the end of the file: match: ['%s']",
						p.rule.Name, strings.ReplaceAll(cover, "'", "''"))})
					break
				}
			}
		}
	}
	return found
}
