// Package fail2ban makes rule files of filters that were written for fail2ban, so that somebody who has filters of his own
// need not begin anew. `tattled import fail2ban` calls it; the daemon does not.
//
//	filter.conf -> settings -> expressions, without log header and stamp -> patterns or RE2 -> rule file
//
// A rule describes no line that the filter's expression does not (but that <any> for .+ may be empty), or says so; what cannot be
// had so is refused by line, with the reason. All that is written was compiled, and its samples were tried.
package fail2ban
