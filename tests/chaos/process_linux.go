package main

import "syscall"

// diesWithUs ends a process when the harness is gone without having ended it.
func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
