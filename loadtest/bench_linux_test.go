package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/testenv"
)

// The table has a row for each server of each cell, with a ratio for all but the first, and nobody
// was failed. What the cells are is what --help says. By default two of them are measured, all
// where CI runs.
func TestBenchMeasuresEveryCell(t *testing.T) {
	t.Parallel() // It waits more than it works.
	gateway, err := gatewayProgram()
	if err != nil {
		t.Fatal(err)
	}
	var help, table, log strings.Builder
	runMain(t.Context(), []string{"bench", "--help"}, &help, &help)
	_, list, _ := strings.Cut(help.String(), "The cells:\n")
	names := regexp.MustCompile(`(?m)^ {4}([a-zA-Z0-9-]+)  `).FindAllStringSubmatch(list, -1)
	if len(names) < 12 {
		t.Fatalf("--help has %d cells:\n%s", len(names), help.String())
	}
	cells := regexp.MustCompile("^(100|protocol)$") // Each server takes a second or more.
	if testenv.IsWholeSize(t) {
		cells = regexp.MustCompile("")
	}
	names = slices.DeleteFunc(names, func(name []string) bool { return !cells.MatchString(name[1]) })
	if len(names) < 2 {
		t.Fatalf("%d cells are left of those in --help:\n%s", len(names), help.String())
	}
	file := filepath.Join(t.TempDir(), "bench.json")
	args := []string{"bench", "--small", "--gateway", gateway, "--json", file, "--cells", cells.String()}
	if status := runMain(t.Context(), args, &table, &log); status != exitOK {
		t.Fatalf("exit status %d\n%s%s", status, log.String(), table.String())
	}
	if !strings.Contains(table.String(), "machine: ") || !strings.Contains(table.String(), "--small: the figures mean nothing") {
		t.Errorf("no machine, or no warning:\n%s", table.String())
	}
	rows := map[string][][]string{}
	for line := range strings.Lines(table.String()) {
		if f := regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1); len(f) == 11 {
			rows[f[0]] = append(rows[f[0]], f)
		}
	}
	for _, name := range names {
		cell := rows[name[1]]
		if len(cell) < 3 {
			t.Errorf("%s: %d rows\n%s%s", name[1], len(cell), log.String(), table.String())
			continue
		}
		for i, row := range cell {
			median, err := strconv.ParseFloat(row[2], 64)
			ratio, err2 := strconv.ParseFloat(row[4], 64)
			isMemory := row[3] == "bytes/connection" // Of so few clients it may not grow.
			if !isMemory && (err != nil || median <= 0 || err2 != nil || ratio <= 0) || row[10] != "none" {
				t.Errorf("row %v", row)
			}
			if isAgain := strings.HasSuffix(row[1], " (again)"); isAgain != (i == 1) {
				t.Errorf("row %d is %v", i, row)
			}
		}
	}
	checkBenchJSON(t, file, rows)
}

// checkBenchJSON sees that the file has what the table has.
func checkBenchJSON(t *testing.T, file string, rows map[string][][]string) {
	t.Helper()
	var written struct {
		Machine struct{ Cores int }
		Cells   []struct {
			Name  string
			Sides []struct {
				Name    string
				Figures []float64
			}
		}
	}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &written)
	}
	if err != nil || written.Machine.Cores == 0 || len(written.Cells) != len(rows)-1 { // One row is the head.
		t.Fatalf("%v, %d cells, want %d:\n%s", err, len(written.Cells), len(rows)-1, b)
	}
	for _, cell := range written.Cells {
		for i, s := range cell.Sides {
			if s.Name != rows[cell.Name][i][1] || len(s.Figures) != 1 {
				t.Errorf("%s: side %d is %+v", cell.Name, i, s)
			}
		}
	}
}

// What cannot be measured here is said, with the reason, and is nobody's failure.
func TestBenchLeavesOutWhatTheMachineCannot(t *testing.T) {
	t.Parallel()
	gateway, err := gatewayProgram()
	if err != nil {
		t.Fatal(err)
	}
	bench := func(args string) (said string, err error) {
		script := "ulimit -n 580 && " + selfCommand(t, "bench --quiet --gateway '"+gateway+"' "+args)
		b, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
		return string(b), err
	}
	said, err := bench("--rounds 1 --cells '^10000?$'")
	for _, name := range []string{"1000", "10000"} {
		if err != nil || !strings.Contains(said, "\n"+name+" is left out: a server of "+name+" clients takes ") {
			t.Errorf("%v: %s", err, said)
		}
	}
	if said, err := bench("--small --cells ^1000$"); err != nil || strings.Contains(said, "left out") {
		t.Errorf("%v: %s", err, said)
	}
}

func TestBenchRefusesWhatIsNot(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"--cells x1", "there are 100, 1000,"},
		{"--cells (", "--cells: error parsing regexp"},
		{"--rounds 0", "--rounds must be at least 1"},
		{"--gateway /nowhere/gateway", "--gateway: "},
		{"--json /nowhere/x.json", "--json /nowhere/x.json"},
	} {
		var said strings.Builder
		if status := runMain(t.Context(), append([]string{"bench"}, strings.Fields(test.args)...), &said, &said); status != exitUsage || !strings.Contains(said.String(), test.says) {
			t.Errorf("%s: exit status %d\n%s", test.args, status, said.String())
		}
	}
}

// Ctrl-C in the middle of a measurement: the table has what there is, and no server is left.
func TestBenchThatIsInterruptedLeavesNoProcess(t *testing.T) {
	t.Parallel()
	gateway, err := gatewayProgram()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
	defer cancel()
	mark := "LOADTEST_MARK=" + strconv.Itoa(os.Getpid()) + "-interrupted"
	cmd := exec.CommandContext(ctx, os.Args[0], "bench", "--cells", "^100$", "--rounds", "1000", "--gateway", gateway)
	cmd.Env = append(os.Environ(), "LOADTEST_CLI=1", mark)
	var table strings.Builder
	cmd.Stdout = &table
	log, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() && !strings.Contains(lines.Text(), "round 1 of") {
	}
	for len(marked(t, mark, cmd.Process.Pid)) == 0 && ctx.Err() == nil { // Between two servers.
		time.Sleep(time.Millisecond)
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	var last string
	for lines.Scan() {
		last = lines.Text()
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitFaulty || !strings.Contains(last, "interrupted") || !strings.Contains(table.String(), "100 is left out: interrupted") {
		t.Errorf("%v, last line %q\n%s", cmd.ProcessState, last, table.String())
	}
	if left := marked(t, mark, 0); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// marked are the processes with this in their environment, but for one.
func marked(t *testing.T, mark string, but int) (all []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		environ, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != but && slices.Contains(strings.Split(string(environ), "\x00"), mark) {
			all = append(all, pid)
		}
	}
	return all
}
