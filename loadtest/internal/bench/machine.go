package bench

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// A machine is what figures are of.
type machine struct {
	Cores  int     `json:"cores"`
	System string  `json:"system"` // the operating system, with its kernel's release where that is known
	Go     string  `json:"go"`     // what the load test and the floor were built with
	Load   float64 `json:"load"`   // average of the last minute, at the start; -1 where nobody knows
}

func thisMachine() machine {
	m := machine{Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Load: -1}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += " " + strings.TrimSpace(string(b))
	}
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	if n, err := strconv.ParseFloat(first, 64); err == nil {
		m.Load = n
	}
	return m
}

// String is the machine in a line.
func (m *machine) String() string {
	load := "unknown"
	if m.Load >= 0 {
		load = strconv.FormatFloat(m.Load, 'f', -1, 64)
	}
	return fmt.Sprintf("machine: %d cores, %s, %s, load %s at the start", m.Cores, m.System, m.Go, load)
}

// busyShare of the processors, or more, in others' hands make figures theirs.
const busyShare = 0.25

// warning says what a busy machine means for the figures; empty if it is not busy.
func (m *machine) warning() string {
	if m.Load < busyShare*float64(m.Cores) {
		return ""
	}
	return fmt.Sprintf("warning: the machine is busy (load %g on %d cores): times are too long, and ratios uncertain", m.Load, m.Cores)
}
