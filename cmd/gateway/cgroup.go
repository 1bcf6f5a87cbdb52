package main

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// limitMemory makes three quarters of the container's memory the limit of Go's runtime, from which
// the gateway sheds load in order instead of being killed; the rest is for the kernel's buffers,
// which the runtime does not see. An operator's GOMEMLIMIT stands, "off" as well. It returns the
// container's limit, zero if there is none or it is not made use of.
func limitMemory(root fs.FS) (container int64) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	limit, ok := cgroupLimit(root, memory)
	if !ok {
		return 0
	}
	debug.SetMemoryLimit(limit / 4 * 3)
	return limit
}

// limitLoops is how many loops there are by default: one for each processor that Go's runtime uses,
// but no more than the container has the time of. The runtime goes by that as well, and uses two at
// least; two loops on one processor cost more than one. An operator's GOMAXPROCS stands.
func limitLoops(loops int, root fs.FS) int {
	if os.Getenv("GOMAXPROCS") != "" {
		return loops
	}
	if limit, ok := cgroupLimit(root, processors); ok {
		return int(min(int64(loops), (limit+999)/1000))
	}
	return loops
}

// A resource is what a control group may limit. limit reads that of one group; math.MaxInt64 is
// none.
type resource struct {
	controller string
	limit      func(read func(file string) string, isVersion2 bool) int64
}

var (
	// memory is in bytes.
	memory = resource{"memory", func(read func(string) string, isVersion2 bool) int64 {
		if isVersion2 {
			return numberOf(read("memory.max"))
		}
		return numberOf(read("memory.limit_in_bytes"))
	}}
	// processors is in thousandths of the time of one.
	processors = resource{"cpu", func(read func(string) string, isVersion2 bool) int64 {
		quota, period, _ := strings.Cut(read("cpu.max"), " ")
		if !isVersion2 {
			quota, period = read("cpu.cfs_quota_us"), read("cpu.cfs_period_us")
		}
		q, p := numberOf(quota), numberOf(period)
		if p == math.MaxInt64 || q > math.MaxInt64/1000 {
			return math.MaxInt64
		}
		return max(1, q*1000/p)
	}}
)

// numberOf is what a file says, or math.MaxInt64 where that is no number above zero.
func numberOf(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n <= 0 {
		return math.MaxInt64
	}
	return n
}

// cgroupLimit is the least of something that the process's control group or one above it may take,
// as far as it is seen from here. root is the file system's.
//
//	/proc/self/cgroup     "0::/a/b" of version 2, "4:memory:/a/b" of version 1: the group
//	/proc/self/mountinfo  where groups are mounted, and which of them is the mount's root
//	MOUNT/a/b/memory.max  or memory.limit_in_bytes: a number, or "max"
//	MOUNT/a/b/cpu.max     "QUOTA PERIOD" in microseconds; cpu.cfs_quota_us and cpu.cfs_period_us
func cgroupLimit(root fs.FS, of resource) (least int64, ok bool) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0, false
	}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return 0, false
	}
	least = math.MaxInt64
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		m := cgroupMount{kind: "cgroup2", of: of}
		if parts[1] != "" {
			if !hasWord(parts[1], of.controller) {
				continue
			}
			m.kind = "cgroup"
		}
		if m.find(string(mounts)) {
			least = min(least, m.least(root, parts[2]))
		}
	}
	return least, least < unlimited
}

// unlimited is from where on a limit is none: version 1 says so with the largest number of whole
// pages.
const unlimited = 1 << 62

// hasWord reports whether a list that is separated by commas has this word.
func hasWord(list, word string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == word {
			return true
		}
	}
	return false
}

// A cgroupMount is where the groups that may limit a resource are mounted.
type cgroupMount struct {
	kind     string
	of       resource
	at, root string // directory, and which group it is
}

// find looks for the mount in mountinfo, see proc_pid_mountinfo(5):
//
//	36 35 98:0 /group /sys/fs/cgroup rw,noatime shared:1 - cgroup2 cgroup rw,memory
//	           root   at                                   kind           options
func (m *cgroupMount) find(mounts string) bool {
	for line := range strings.Lines(mounts) {
		before, after, isWhole := strings.Cut(strings.TrimSpace(line), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !isWhole || len(f) < 5 || len(g) < 3 || g[0] != m.kind || m.kind == "cgroup" && !hasWord(g[2], m.of.controller) {
			continue
		}
		m.root, m.at = unescape(f[3]), unescape(f[4])
		return true
	}
	return false
}

// unescape undoes what mountinfo does to blanks, tabs, line feeds and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// least is the smallest limit on the way from the group up to the mount's root. In a container the
// group may be named as the host does, or lie outside of what is mounted: then the root is ours.
func (m *cgroupMount) least(root fs.FS, group string) int64 {
	inside, isInside := strings.CutPrefix(path.Clean("/"+group), strings.TrimSuffix(m.root, "/"))
	if !isInside || inside != "" && inside[0] != '/' {
		inside = ""
	}
	limit := int64(math.MaxInt64)
	for dir := path.Join("/", inside); ; dir = path.Dir(dir) {
		limit = min(limit, m.of.limit(func(file string) string {
			text, _ := fs.ReadFile(root, strings.TrimPrefix(path.Join(m.at, dir, file), "/")) // Where there is none there is no limit.
			return string(text)
		}, m.kind == "cgroup2"))
		if dir == "/" {
			return limit
		}
	}
}
