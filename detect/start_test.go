package detect

import "testing"

// BenchmarkLoad tells what every start of the program costs.
func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, faults := Load(Options{}); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
}

// BenchmarkFirstMessage tells what the first message of a program costs beyond Load: its rules are read and compiled.
func BenchmarkFirstMessage(b *testing.B) {
	for _, program := range []string{"sshd", "postfix/smtpd", "nginx", "dovecot", "exim", "kernel"} {
		b.Run(program, func(b *testing.B) {
			b.ReportAllocs()
			r, _ := Load(Options{})
			m := r.programs.find([]byte(program)).matcher
			for b.Loop() {
				m.first.Store(nil)
				for _, s := range m.services {
					s.unread, s.parser = true, nil
				}
				var f Finding
				r.Detect([]byte(program), []byte("Connection lost"), &f)
			}
		})
	}
}
