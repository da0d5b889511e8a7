//go:build !unix

package shell

import "os/exec"

// ownGroup leaves the program in the group of the node: the system has no others.
func ownGroup(*exec.Cmd) {}

// killGroup has nothing to end.
func killGroup(*exec.Cmd) {}
