package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// spent is the processor time of one program, with all its processes.
type spent struct {
	name  string
	spent time.Duration
}

// times are the processor times that programs have used so far.
type times []spent

// since gives what was used since an earlier look.
func (t times) since(before times) times {
	var used times
	for _, now := range t {
		for _, then := range before {
			if then.name == now.name {
				used = append(used, spent{now.name, now.spent - then.spent})
			}
		}
	}
	return used
}

// times looks at a contestant's processes and at the servers. Servers in containers cannot be seen.
func (s *servers) times(who *contestant) times {
	var all times
	for _, p := range append(who.measured, who.beside...) {
		all = append(all, spent{strings.TrimSuffix(p.name, "-1"), p.cpu()})
	}
	for _, name := range []string{"postgres", "kafka", "redis"} {
		text, err := os.ReadFile(filepath.Join(s.root, ".infra", name, "pid"))
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if pid, err := strconv.Atoi(first); err == nil {
			all = append(all, spent{name, processorTime(pid, true)})
		}
	}
	return all
}

// processorTime gives the time that a process has used so far; with family, that of its children too,
// those that have ended and those that have not.
func processorTime(pid int, family bool) time.Duration {
	stat := statOf(pid)
	if stat == nil {
		return 0
	}
	sum := ticks(stat[11]) + ticks(stat[12]) // user and system
	if !family {
		return sum
	}
	sum += ticks(stat[13]) + ticks(stat[14]) // of children that have ended
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return sum
	}
	for _, child := range strings.Fields(string(children)) {
		if id, err := strconv.Atoi(child); err == nil {
			sum += processorTime(id, false)
		}
	}
	return sum
}

// statOf gives the fields of /proc/PID/stat from the third on: a name may hold anything.
func statOf(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// ticks are hundredths of a second, on Linux.
func ticks(field string) time.Duration {
	n, err := strconv.Atoi(field)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second / 100
}
