package daemon

import (
	"os"
	"os/user"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// account is who the service is to the file system.
type account struct {
	name     string
	uid, gid int
	groups   []int
}

// serviceAccount returns the account of the service; ok is false where there is none, as on a machine without the package.
func serviceAccount(u unitFiles) (a account, ok bool) {
	name, groups := u.identity()
	who, err := user.Lookup(name)
	if err != nil {
		return a, false
	}
	a = account{name: name}
	if a.uid, err = strconv.Atoi(who.Uid); err != nil {
		return a, false
	}
	if a.gid, err = strconv.Atoi(who.Gid); err != nil {
		return a, false
	}
	for _, name := range groups {
		g, err := user.LookupGroup(name)
		if err != nil {
			continue
		}
		if gid, err := strconv.Atoi(g.Gid); err == nil {
			a.groups = append(a.groups, gid)
		}
	}
	return a, true
}

// as calls fn with the rights of a to files, and with nothing more: root reads what the service does not, and would call
// good what fails. The kernel judges, so that access lists and mounts count as well. Who is not root is who he is, and so is a root
// who may not change that: ok is false then. What fn leaves to other goroutines has the process's rights.
func as(a account, fn func()) (ok bool) {
	if os.Geteuid() != 0 || a.uid == 0 {
		fn()
		return false
	}
	done := make(chan bool)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, and its rights with it
		err := unix.Setgroups(append([]int{a.gid}, a.groups...))
		_, _ = unix.SetfsgidRetGid(a.gid) // neither call says whether it worked, but the next one what was before it
		_, _ = unix.SetfsuidRetUid(a.uid)
		uid, _ := unix.SetfsuidRetUid(a.uid)
		fn()
		done <- err == nil && uid == a.uid
	}()
	return <-done
}
