package detect

import "tattled/detect/parse"

// leastBegun is how many bytes of fixed text at its beginning tell what a message is that has lost its end.
const leastBegun = 10

// begun returns the rule that a message describes which is too long for its service to have written it whole, or that its
// beginning is a beginning of; nil if there is none. Whom it is about cannot be told, since its peer chose where it ends. But
// who makes his lines so long shall not pass unseen.
func (r *Rules) begun(u *unit, message []byte) *Rule {
	if u.service != nil {
		return nil
	}
	if u.stamped {
		var stamp Stamp
		message = message[stamp.Take(message):]
	}
	var found parse.Result
	if u.read(message, &found); found.Found && found.Rule >= 0 {
		if rule := r.rules[found.Rule]; rule.Kind != 0 {
			return rule
		}
		return nil
	}
	var all [4]framed
	for i := range u.framings(message, &all) {
		if rule := r.begins(u, all[i].text); rule != nil {
			return rule
		}
	}
	return nil
}

// begins returns a rule of which a pattern begins with a fixed text of leastBegun bytes or more that text begins with.
func (r *Rules) begins(u *unit, text []byte) *Rule {
	if len(text) == 0 {
		return nil
	}
	var last *Rule
	at := 0
	for n := u.root[text[0]]; n != nil && n.label.beginsAt(text, at); {
		if at += len(n.label.text); at >= leastBegun {
			for _, g := range n.groups {
				for i := range g.variants {
					if at := g.variants[i].rule; at >= 0 && r.rules[at].Kind != 0 {
						last = r.rules[at]
					}
				}
			}
		}
		if at >= len(text) {
			break
		}
		k := n.kid(text[at])
		if k < 0 {
			break
		}
		n = n.kids[k]
	}
	return last
}
