package e2e

import (
	"os/exec"
	"syscall"
)

// diesWithTest ends the process when this one is gone without having ended it, as after a time-out.
func diesWithTest(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
