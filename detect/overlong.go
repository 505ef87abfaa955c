package detect

import "tattled/detect/parse"

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
	if u.index.Read(message, &found); found.Found && found.Rule >= 0 {
		if rule := r.rules[found.Rule]; rule.Kind != 0 {
			return rule
		}
		return nil
	}
	if rule := u.index.Begun(message); rule >= 0 {
		return r.rules[rule]
	}
	return nil
}
