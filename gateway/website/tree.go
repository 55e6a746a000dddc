package website

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxAncestors bounds how many ancestors are checked.
const maxAncestors = 64

// Owns tells whether a process is the website's child or descends from it, by its parents or by the
// child's session. It protects sockets that the child must not use, even if there is a hole in its
// confinement.
func (s *Server) Owns(pid int) bool {
	s.mu.Lock()
	own := s.pid
	s.mu.Unlock()
	if own == 0 || pid <= 0 {
		return false
	}
	for range maxAncestors {
		if pid == own {
			return true
		}
		parent, session, ok := kin(pid)
		switch {
		case !ok:
			return errors.Is(unix.Kill(pid, 0), unix.ESRCH) // ended: refuse it; else it is another user's
		case session == own:
			return true
		case parent <= 1:
			return false
		}
		pid = parent
	}
	return true // nobody we know has so deep a tree
}

// kin returns the parent and the session of a process.
func kin(pid int) (parent, session int, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, false
	}
	// "PID (NAME) STATE PPID PGRP SESSION …", where the name may hold anything.
	cut := strings.LastIndexByte(string(b), ')')
	if cut < 0 {
		return 0, 0, false
	}
	f := strings.Fields(string(b)[cut+1:])
	if len(f) < 4 {
		return 0, 0, false
	}
	parent, perr := strconv.Atoi(f[1])
	session, serr := strconv.Atoi(f[3])
	return parent, session, perr == nil && serr == nil
}
