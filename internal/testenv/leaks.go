package testenv

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Run runs a package's tests, then what is to be done behind them, and returns the status to exit
// with: tests that leave goroutines or descriptors behind have failed.
func Run(m *testing.M, behind ...func()) (status int) {
	warmUp()
	before := openDescriptors()
	status = m.Run()
	for _, do := range behind {
		do()
	}
	if status == 0 {
		if err := leaks(before); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	return status
}

// RunWaiting is Run for a package whose parallel tests wait, most of the time: for processes, or
// for times to pass. Eight of them run at once, on however few processors, unless -parallel says
// otherwise.
func RunWaiting(m *testing.M, behind ...func()) (status int) { return RunAtOnce(m, 8, behind...) }

// RunAtOnce is RunWaiting with another number of tests that run at once, for those that hardly
// work.
func RunAtOnce(m *testing.M, most int, behind ...func()) (status int) {
	flag.Parse()
	isGiven := false
	flag.Visit(func(f *flag.Flag) { isGiven = isGiven || f.Name == "test.parallel" })
	if !isGiven {
		if err := flag.Set("test.parallel", strconv.Itoa(most)); err != nil {
			panic(err)
		}
	}
	return Run(m, behind...)
}

// warmUp makes the runtime open its own poller, which it then keeps.
func warmUp() {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
}

// ofSDK is a goroutine that centrifuge-go leaves behind if something happens to a client while it
// is closed: it waits for a handler that is not called any more.
var ofSDK = goleak.IgnoreAnyFunction("github.com/centrifugal/centrifuge-go.(*Client).runHandlerSync")

// leaks waits until nothing is there that was not there before, and says what is there all the
// same.
func leaks(before map[string]string) error {
	end := time.Now().Add(Patience)
	for err := goleak.Find(ofSDK); err != nil; err = goleak.Find(ofSDK) { // It waits for half a second each time.
		if time.Now().After(end) {
			return err
		}
	}
	var extra []string
	for ; time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		extra = extra[:0]
		now, ends := openDescriptors(), map[string]int{}
		for _, target := range now {
			ends[target]++
		}
		for fd, target := range now {
			// A pipe with both of its ends here is package net's, which keeps some for splice(2)
			// until a collection finds them.
			isSplice := strings.HasPrefix(target, "pipe:") && ends[target] == 2
			if _, was := before[fd]; !was && !isSplice {
				extra = append(extra, fd+" -> "+target)
			}
		}
		if len(extra) == 0 {
			return nil
		}
	}
	return fmt.Errorf("leaked descriptors: %s", strings.Join(extra, ", "))
}

// openDescriptors lists this process's descriptors with what they lead to. Empty where there is no
// /proc.
func openDescriptors() map[string]string {
	open := map[string]string{}
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		// The descriptor of the directory that was being listed is gone by now.
		if target, err := os.Readlink(link); err == nil {
			open[filepath.Base(link)] = target
		}
	}
	return open
}

// ExpectGoroutines waits until there are no more goroutines than there were.
func ExpectGoroutines(t testing.TB, were int) {
	t.Helper()
	Eventually(t, fmt.Sprintf("%d goroutines again", were), func() bool { return runtime.NumGoroutine() <= were })
}
