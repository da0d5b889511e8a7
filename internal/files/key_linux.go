package files

import (
	"errors"
	"syscall"
)

// keyMax bounds the key of a file. It is that of ext4 for all attributes.
const keyMax = 4096

// keyOf is the key on the file at path; empty if there is none.
func keyOf(path string) string {
	buf := make([]byte, keyMax)
	n, err := syscall.Getxattr(path, KeyAttribute, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// setKey leaves a key on a file, where the file system can keep it.
func setKey(path, key string) error {
	err := syscall.Setxattr(path, KeyAttribute, []byte(key), 0)
	if errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EPERM) {
		return nil
	}
	return err
}
