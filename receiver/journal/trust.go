package journal

import "bytes"

// trusted reports whether an entry was written by the program that its identifier names, so that it may lead to a report.
// It is false wherever there is a doubt.
//
// Any local user can write `logger -t sshd "Failed password for root from ..."`: identifier and message are the client's
// own. journald adds who wrote it, by the kernel's word:
//
//   - The kernel's own messages are trusted.
//   - A process in the control group of the service that bears the identifier's name is trusted, whatever user it has
//     become: nginx in nginx.service, postfix/smtpd in postfix@-.service. No user can put a process there; but services that
//     run what users tell them to (ssh, cron) have their processes in their group as well, so those do not count.
//   - A process of root whose executable bears the identifier's name is trusted: sshd, and each of its parts since
//     OpenSSH 9.8, logs what matters as root. `sudo logger -t sshd` runs another executable. _COMM would not do: it is the name
//     of the file that was executed, and a symbolic link named sshd to a set-user-id program is a file too. sudo writes
//     any text that its caller wants (`sudo -S -p TEXT`) to whatever its caller made its standard error.
//   - What such a process writes to its standard output or error is not trusted outside of its own service, for the same
//     reason: whoever opens the stream chooses the identifier.
//   - Root in a container with the host's /dev/log has any executable that it wants. Its unit is a scope.
func trusted(p *parser, e *entry) bool {
	transport := string(p.value(e, Transport))
	switch transport {
	case "kernel":
		return true
	case "syslog", "journal", "stdout":
	default: // audit: text that any program may have had a hand in; driver: journald's own
		return false
	}
	name := p.value(e, Identifier)
	if len(name) == 0 {
		name = p.value(e, Comm)
	}
	unit := p.value(e, SystemdUnit)
	service := serviceOf(unit)
	ownService := len(service) > 0 && !runsUsersPrograms(service)
	if ownService && related(name, service) {
		return true
	}
	if transport == "stdout" || string(p.value(e, UID)) != "0" {
		return false
	}
	if len(service) == 0 && !isSession(unit) {
		return false
	}
	if exe := p.value(e, Exe); len(exe) > 0 {
		return consistent(name, exe[bytes.LastIndexByte(exe, '/')+1:])
	}
	return ownService && consistentComm(name, p.value(e, Comm)) // the process was gone before journald looked
}

// believed is for a configured directory, whose files need not be this machine's journald's work: what collected them may
// have left fields out, and who forges entries there can write the files. So root's process of the identifier's name is
// taken at its word, as long as the fields that are there do not speak against it.
func believed(p *parser, e *entry) bool {
	switch string(p.value(e, Transport)) {
	case "", "syslog", "journal":
	default:
		return false
	}
	name, unit, exe := p.value(e, Identifier), p.value(e, SystemdUnit), p.value(e, Exe)
	return string(p.value(e, UID)) == "0" && consistentComm(name, p.value(e, Comm)) &&
		(len(unit) == 0 || len(serviceOf(unit)) > 0) &&
		(len(exe) == 0 || consistent(name, exe[bytes.LastIndexByte(exe, '/')+1:]))
}

// runtimeWrote reports whether a container runtime of the system wrote an entry: dockerd in its service, or the conmon of a container of
// root's in a scope or a service of its own. Any user can write an entry that says it is of a container; by the kernel's word, this one
// is of that executable and of root. What a rootless conmon writes is its user's word, and root's processes in a login session (sudo)
// are not meant.
func runtimeWrote(p *parser, e *entry, collected bool) bool {
	if t := string(p.value(e, Transport)); string(p.value(e, UID)) != "0" || t != "journal" && !(collected && t == "") {
		return false
	}
	exe, unit := p.value(e, Exe), p.value(e, SystemdUnit)
	name := exe[bytes.LastIndexByte(exe, '/')+1:]
	if len(exe) == 0 {
		name = p.value(e, Comm)
	}
	switch string(name) {
	case "dockerd":
		return string(serviceOf(unit)) == "docker" || collected && len(unit) == 0
	case "conmon":
		ours := bytes.HasPrefix(unit, []byte("libpod-")) && bytes.HasSuffix(unit, []byte(".scope"))
		return ours || len(exe) > 0 && len(serviceOf(unit)) > 0 || collected && len(unit) == 0
	default:
		return false
	}
}

// serviceOf returns "postfix" for postfix@-.service, and nil for what is no service of the system.
func serviceOf(unit []byte) []byte {
	service, found := bytes.CutSuffix(unit, []byte(".service"))
	if !found {
		return nil
	}
	service, _, _ = bytes.Cut(service, []byte("@"))
	if string(service) == "user" { // user@1000.service: all that a user's own service manager runs
		return nil
	}
	return service
}

// isSession reports whether a unit is the scope of a login session, such as session-12.scope. sshd is in it once the user is in.
func isSession(unit []byte) bool {
	return bytes.HasPrefix(unit, []byte("session-")) && bytes.HasSuffix(unit, []byte(".scope"))
}

// runsUsersPrograms reports whether processes of users' choice may be in a service's control group: pam_systemd would move
// them to a session of their own, but it is not everywhere, and Debian's cron goes without it.
func runsUsersPrograms(service []byte) bool {
	switch string(service) {
	case "ssh", "sshd", "dropbear", "cron", "crond", "cronie", "anacron", "fcron", "atd", "inetd", "xinetd", "telnetd",
		"getty", "serial-getty", "console-getty", "container-getty", "login", "docker", "containerd", "podman":
		return true
	}
	return false
}

// related reports whether a program's name goes with a service's: nginx, mariadbd of mariadb, exim of exim4,
// openvpn of openvpn-server. In a name like postfix/smtpd the first part counts. MariaDB's audit plug-in has a name of its
// own, which names neither the server nor its unit.
func related(name, service []byte) bool {
	if string(name) == "mysql-server_auditing" {
		return bytes.HasPrefix(service, []byte("mariadb")) || bytes.HasPrefix(service, []byte("mysql"))
	}
	name, _, _ = bytes.Cut(name, []byte("/"))
	if bytes.Equal(name, service) {
		return true
	}
	const least = 3
	return min(len(name), len(service)) >= least && (bytes.HasPrefix(name, service) || bytes.HasPrefix(service, name))
}

// consistent reports whether an executable's name goes with an identifier: it is the same, the last part of a name like
// postfix/smtpd, or a part of the program, such as sshd-session of sshd.
func consistent(name, exe []byte) bool {
	name = name[bytes.LastIndexByte(name, '/')+1:]
	if len(name) == 0 {
		return false
	}
	rest, found := bytes.CutPrefix(exe, name)
	return found && (len(rest) == 0 || rest[0] == '-')
}

// consistentComm is consistent for _COMM, which is cut at 15 bytes.
func consistentComm(name, comm []byte) bool {
	const most = 15
	if len(comm) == most && len(name) > most {
		return bytes.Equal(name[:most], comm)
	}
	return consistent(name, comm)
}
