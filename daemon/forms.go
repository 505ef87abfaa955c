package daemon

import (
	"fmt"

	"tattled/detect"
	"tattled/setting"
)

// eachForm calls use for each source that has a form, or may have one: its path in the configuration, its name as records
// have it, and its program, which is "" where each record names its own.
func (s *Sources) eachForm(use func(path, source, program, form string)) {
	for i := range s.Files {
		f := &s.Files[i]
		use(fmt.Sprintf("sources.files[%d].form", i), f.Source(), f.Program, f.Form)
	}
	for i := range s.Syslog {
		l := &s.Syslog[i]
		use(fmt.Sprintf("sources.syslog[%d].form", i), l.Listen, l.Program, l.Form)
	}
}

// checkForms reports the forms that are at fault.
func (s *Sources) checkForms(report setting.Report) {
	s.eachForm(func(path, _, _, form string) {
		if form == "" {
			return
		}
		if _, err := detect.ParseForm(form); err != nil {
			report(path, err.Error())
		}
	})
}

// forms returns the declared forms of access logs by source. They were checked.
func (s *Sources) forms() map[string]*detect.Form {
	all := map[string]*detect.Form{}
	s.eachForm(func(_, source, _, form string) {
		if f, err := detect.ParseForm(form); form != "" && err == nil {
			all[source] = f
		}
	})
	return all
}

// formWarnings says, in words, where the form of an access log has to be guessed, and where one is declared in vain.
func formWarnings(s *Sources, rules *detect.Rules) []string {
	var all []string
	s.eachForm(func(path, _, program, form string) {
		switch access := rules.ReadsAccess(program); {
		case program == "":
		case form == "" && access:
			all = append(all, fmt.Sprintf("%s: is missing, so the form of this access log is guessed for each line, and a line that may be of another form proves nothing: "+
				"write combined, common, vhost_combined, or the string of your LogFormat or log_format. A log of JSON needs none", path))
		case form != "" && !access:
			all = append(all, fmt.Sprintf("%s: is for access logs, and no rules read one of the program %q: leave it out, or write program: nginx or apache2", path, program))
		}
	})
	return all
}
