package main

import (
	"math"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

// tree makes a file system of the files' paths and texts.
func tree(files ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		all[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return all
}

const (
	mount2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	mount1 = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)

// N89: the limit of the process's group is found, in either version, wherever groups are mounted.
// Relatives: limits of groups above it; containers without a namespace of their own, whose group is
// named as the host does; both versions at once; no limit; no limit that can be read, and texts
// that are none.
func TestN89_LimitOfTheContainerIsFound(t *testing.T) {
	const cgroup, mounts = "proc/self/cgroup", "proc/self/mountinfo"
	for name, tc := range map[string]struct {
		root fstest.MapFS
		want int64
	}{
		"version 2": {tree(cgroup, "0::/app\n", mounts, mount2, "sys/fs/cgroup/app/memory.max", "1000\n"), 1000},
		"version 2, in its own namespace": {
			tree(cgroup, "0::/\n", mounts, mount2, "sys/fs/cgroup/memory.max", "1000\n"), 1000,
		},
		"a group above has less": {
			tree(cgroup, "0::/a/b/c\n", mounts, mount2, "sys/fs/cgroup/a/memory.max", "500", "sys/fs/cgroup/a/b/memory.max", "max", "sys/fs/cgroup/a/b/c/memory.max", "1000\n"), 500,
		},
		"a group above has more": {
			tree(cgroup, "0::/a/b\n", mounts, mount2, "sys/fs/cgroup/a/memory.max", "5000", "sys/fs/cgroup/a/b/memory.max", "1000\n"), 1000,
		},
		"none": {tree(cgroup, "0::/app\n", mounts, mount2, "sys/fs/cgroup/app/memory.max", "max\n"), 0},
		"named as the host does": {
			tree(cgroup, "0::/docker/abc\n", mounts, "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "sys/fs/cgroup/memory.max", "1000\n"), 1000,
		},
		"below what is mounted": {
			tree(cgroup, "0::/docker/abc/init\n", mounts, "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
				"sys/fs/cgroup/memory.max", "1000\n", "sys/fs/cgroup/init/memory.max", "900"), 900,
		},
		"outside of what is mounted": {
			tree(cgroup, "0::/../../elsewhere\n", mounts, "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "sys/fs/cgroup/memory.max", "1000\n"), 1000,
		},
		"a name that begins alike": {
			tree(cgroup, "0::/docker/abcdef\n", mounts, "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
				"sys/fs/cgroup/memory.max", "1000\n", "sys/fs/cgroup/def/memory.max", "1"), 1000,
		},
		"version 1": {
			tree(cgroup, "5:cpu,cpuacct:/x\n4:memory:/app\n0::/\n", mounts, mount1, "sys/fs/cgroup/memory/app/memory.limit_in_bytes", "2000\n"), 2000,
		},
		"version 1, a group above": {
			tree(cgroup, "4:hugetlb,memory:/a/b\n", mounts, mount1, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1500\n", "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "2000\n"), 1500,
		},
		"version 1, none": {
			tree(cgroup, "4:memory:/\n", mounts, mount1, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"), 0,
		},
		"both versions": {
			tree(cgroup, "4:memory:/app\n0::/app\n", mounts, mount1+mount2, "sys/fs/cgroup/memory/app/memory.limit_in_bytes", "2000\n", "sys/fs/cgroup/app/memory.max", "1000"), 1000,
		},
		"a mount with a blank in its name": {
			tree(cgroup, "0::/\n", mounts, "30 23 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n", "my groups/memory.max", "1000\n"), 1000,
		},
		"another mount's option has the word": {
			tree(cgroup, "4:memory:/\n", mounts, "35 31 0:32 / /sys/x rw - cgroup cgroup rw,name=memory\n", "sys/x/memory.limit_in_bytes", "1\n"), 0,
		},
		"no number":   {tree(cgroup, "0::/\n", mounts, mount2, "sys/fs/cgroup/memory.max", "much\n"), 0},
		"negative":    {tree(cgroup, "0::/\n", mounts, mount2, "sys/fs/cgroup/memory.max", "-1\n"), 0},
		"not mounted": {tree(cgroup, "0::/\n", mounts, "", "sys/fs/cgroup/memory.max", "1000\n"), 0},
		"cut short":   {tree(cgroup, "0:", mounts, "30 23 0:26 /", "sys/fs/cgroup/memory.max", "1000\n"), 0},
		"no proc":     {tree(), 0},
	} {
		got, ok := cgroupLimit(tc.root, memory)
		if ok != (tc.want > 0) || ok && got != tc.want {
			t.Errorf("%s: found %d, %v; want %d", name, got, ok, tc.want)
		}
	}
}

func TestN89_ThreeQuartersUnlessTheOperatorSaysOtherwise(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	root := tree("proc/self/cgroup", "0::/\n", "proc/self/mountinfo", mount2, "sys/fs/cgroup/memory.max", "1073741824\n")
	for value, want := range map[string]int64{"": 768 << 20, "off": math.MaxInt64, "5GiB": math.MaxInt64} { // What the runtime makes of it is its own affair.
		debug.SetMemoryLimit(math.MaxInt64)
		t.Setenv("GOMEMLIMIT", value)
		container := limitMemory(root)
		if got := debug.SetMemoryLimit(-1); got != want || (container > 0) != (value == "") {
			t.Errorf("GOMEMLIMIT=%q: a limit of %d, want %d; said to be of a container: %d", value, got, want, container)
		}
	}
}

// The default number of loops is one per processor, and no more than the container has the time of,
// rounded up. Relatives: both versions; groups above; no quota, and texts that are none; a
// GOMAXPROCS of the operator's.
func TestLoopsFollowTheContainersProcessors(t *testing.T) {
	const cgroup, mounts = "proc/self/cgroup", "proc/self/mountinfo"
	version2 := func(max string) fstest.MapFS {
		return tree(cgroup, "0::/app\n", mounts, mount2, "sys/fs/cgroup/app/cpu.max", max)
	}
	version1 := func(quota, period string) fstest.MapFS {
		return tree(cgroup, "4:memory:/app\n5:cpu,cpuacct:/app\n", mounts, mount1,
			"sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", quota, "sys/fs/cgroup/cpu/app/cpu.cfs_period_us", period)
	}
	const cores = 8
	for name, tc := range map[string]struct {
		root fstest.MapFS
		env  string
		want int
	}{
		"half of one":            {version2("50000 100000\n"), "", 1},
		"one":                    {version2("100000 100000\n"), "", 1},
		"one and a half":         {version2("150000 100000\n"), "", 2},
		"three, in short":        {version2("30000 10000\n"), "", 3},
		"more than the machine":  {version2("6400000 100000\n"), "", cores},
		"no quota":               {version2("max 100000\n"), "", cores},
		"hardly anything":        {version2("1 1000000\n"), "", 1},
		"no period":              {version2("100000\n"), "", cores},
		"no number":              {version2("much 100000\n"), "", cores},
		"beyond all":             {version2("9223372036854775807 100000\n"), "", cores},
		"version 1":              {version1("200000\n", "100000\n"), "", 2},
		"version 1, no quota":    {version1("-1\n", "100000\n"), "", cores},
		"version 1, period of 0": {version1("200000\n", "0\n"), "", cores},
		"no groups":              {tree(), "", cores},
		"GOMAXPROCS":             {version2("50000 100000\n"), "8", cores},
		"a group above has less": {
			tree(cgroup, "0::/a/b\n", mounts, mount2, "sys/fs/cgroup/a/cpu.max", "200000 100000", "sys/fs/cgroup/a/b/cpu.max", "400000 100000"), "", 2,
		},
	} {
		t.Setenv("GOMAXPROCS", tc.env)
		if got := limitLoops(cores, tc.root); got != tc.want {
			t.Errorf("%s: %d loops, want %d", name, got, tc.want)
		}
	}
}
