//go:build unix && !aix && !solaris

package files

import (
	"errors"
	"os"
	"syscall"
)

// lock locks the open file. It reports whether somebody else holds it.
func lock(file *os.File) (held bool, err error) {
	conn, err := file.SyscallConn()
	if err != nil {
		return false, err
	}
	var locked error
	err = conn.Control(func(fd uintptr) {
		locked = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB)
	})
	if err != nil {
		return false, err
	}
	switch {
	case locked == nil, errors.Is(locked, syscall.ENOLCK), errors.Is(locked, syscall.ENOTSUP), errors.Is(locked, syscall.ENOSYS):
		return false, nil
	case errors.Is(locked, syscall.EWOULDBLOCK):
		return true, nil
	}
	return false, os.NewSyscallError("flock", locked)
}

// unlock gives the lock back, whoever has the file open.
func unlock(file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) {
		_ = syscall.Flock(int(fd), syscall.LOCK_UN) // where there are no locks there is none to give back
	})
}
