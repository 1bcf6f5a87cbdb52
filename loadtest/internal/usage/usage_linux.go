// Package usage tells what processes have used: processor time, memory, context switches.
package usage

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// An Observation is what processes and their descendants had used at one moment.
type Observation struct {
	OK       bool
	CPU      time.Duration
	RSS      int64 // bytes resident
	Switches int64 // context switches, of their own will or not
}

// A Watcher observes the same roots and their descendants again and again. It is not safe for
// concurrent use.
type Watcher struct {
	roots  []int
	tree   []int
	listed time.Time
}

// listEvery is how often a repeated observation looks for new descendants, which means to read all
// of /proc.
const listEvery = time.Second

// Watch makes a watcher of the processes with these ids; nil if there are none.
func Watch(roots []int) *Watcher {
	if len(roots) == 0 {
		return nil
	}
	return &Watcher{roots: roots}
}

// Observe is what the function Observe returns, by a list of descendants that may be a second old.
// A nil Watcher observes nobody.
func (p *Watcher) Observe() Observation {
	if p == nil {
		return Observation{}
	}
	if now := time.Now(); now.Sub(p.listed) > listEvery {
		p.tree, p.listed = tree(p.roots), now
	}
	return addUp(p.tree)
}

// Observe adds up the processes with these ids and their descendants. Descendants that ended count
// with the processor time they left to those that remain. Of nobody, or of processes that have all
// ended, it is not OK.
func Observe(roots []int) Observation { return addUp(tree(roots)) }

func addUp(pids []int) (sum Observation) {
	for _, p := range pids {
		cpu, err := processCPU(p)
		if err != nil {
			continue // It ended meanwhile.
		}
		sum.OK = true
		sum.CPU += cpu + reapedCPU(p)
		sum.RSS += statusField(p, "status", "VmRSS:") << 10
		tasks, _ := os.ReadDir("/proc/" + strconv.Itoa(p) + "/task")
		for _, t := range tasks {
			file := "task/" + t.Name() + "/status"
			sum.Switches += statusField(p, file, "voluntary_ctxt_switches:") + statusField(p, file, "nonvoluntary_ctxt_switches:")
		}
	}
	return sum
}

// processCPU reads the process's own clock, which counts nanoseconds where /proc/PID/stat has
// hundredths of a second. Its number is made of the process's as in clock_getcpuclockid(3): the
// inverted id and CPUCLOCK_SCHED.
func processCPU(pid int) (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(int32(^pid<<3|2), &ts)
	return time.Duration(ts.Nano()), err
}

// OwnCPU is the processor time this process has used.
func OwnCPU() time.Duration {
	cpu, _ := processCPU(os.Getpid())
	return cpu
}

// OwnWaiting is how long this process's threads were ready to run and had no processor: the second
// field of each one's schedstat (sched-stats.rst of the kernel's documentation), in nanoseconds.
// Where the kernel does not say, it is zero.
func OwnWaiting() (sum time.Duration) {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		b, _ := os.ReadFile("/proc/self/task/" + t.Name() + "/schedstat")
		if f := strings.Fields(string(b)); len(f) > 1 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}

const ticksPerSecond = 100 // USER_HZ, the same on every Linux that Go runs on

// reapedCPU is what ended children left: cutime and cstime of proc_pid_stat(5).
func reapedCPU(pid int) time.Duration {
	f := statFields(pid)
	if len(f) < 15 {
		return 0
	}
	user, _ := strconv.ParseInt(f[13], 10, 64)
	system, _ := strconv.ParseInt(f[14], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

// statFields are the fields of /proc/PID/stat behind the name, which may hold anything: state is
// the first.
func statFields(pid int) []string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
}

// tree lists roots and their descendants.
func tree(roots []int) []int {
	if len(roots) == 0 {
		return nil
	}
	children := make(map[int][]int)
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f := statFields(id); len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], id)
		}
	}
	all := slices.Clone(roots)
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// statusField reads one number of a file of /proc/PID in the form of proc_pid_status(5).
func statusField(pid int, file, name string) int64 {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + file)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}
