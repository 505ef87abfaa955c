// Package fail2ban converts filters that were written for fail2ban to rule files, so that somebody who has filters of his own
// need not start over. `tattled import fail2ban` calls it; the daemon does not.
//
//	filter.conf -> settings -> expressions, without log header and stamp -> patterns or RE2 -> rule file
//
// A rule describes no line that the filter's expression does not (but that <any> for .+ may be empty), or says so; what cannot be
// had so is refused by line, with the reason. All that is written was compiled, and its samples were tried.
package fail2ban
