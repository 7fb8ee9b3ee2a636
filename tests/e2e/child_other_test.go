//go:build !linux

package e2e

import "os/exec"

func diesWithTest(*exec.Cmd) {}
