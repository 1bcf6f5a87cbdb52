package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// patience is how long anything may take. What takes this long is a mistake of a script.
const patience = 20 * time.Second

// A fleet is the gateways that run of one binary: one for each set of flags that scripts want.
type fleet struct {
	binary  string
	version string
	rooms   atomic.Uint64 // names given

	mu       sync.Mutex
	gateways map[string]*berth
}

// A berth is where a gateway is, or will be.
type berth struct {
	once sync.Once
	g    *gateway
	err  error
}

func newFleet(path string) (*fleet, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w", path, err)
	}
	return &fleet{binary: path, version: strings.TrimSpace(string(out)), gateways: map[string]*berth{}}, nil
}

// shared returns the gateway with these flags, which it starts if need be.
func (f *fleet) shared(flags []string) (*gateway, error) {
	key := strings.Join(flags, " ")
	f.mu.Lock()
	b := f.gateways[key]
	if b == nil {
		b = &berth{}
		f.gateways[key] = b
	}
	f.mu.Unlock()
	b.once.Do(func() { b.g, b.err = f.start(flags, nil) })
	return b.g, b.err
}

func (f *fleet) stop() {
	for _, b := range f.gateways {
		if b.g != nil {
			b.g.kill()
		}
	}
}

// A gateway is a process.
type gateway struct {
	process *exec.Cmd
	dir     string // its own, for socket files
	address string
	log     *lines
	ended   chan struct{} // closed when it has

	isSignalled bool // by a step
}

// environment is the one that gateways run in: what is set for whoever runs this is not for them.
func environment(more []string) (env []string) {
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "SLUICE_") && !strings.HasPrefix(entry, "GO") {
			env = append(env, entry)
		}
	}
	return append(env, more...)
}

var announcement = regexp.MustCompile(`msg"?[=:]"?listening"?[ ,]"?address"?[=:]"?([^\s",]+)`)

// start runs a gateway, on a port of its choice unless flags say where.
func (f *fleet) start(flags, env []string) (*gateway, error) {
	dir, err := os.MkdirTemp("", "sameness")
	if err != nil {
		return nil, err
	}
	g := &gateway{dir: dir, log: newLines(), ended: make(chan struct{})}
	var args []string
	for _, flag := range flags {
		args = append(args, strings.ReplaceAll(flag, "{dir}", dir))
	}
	if !strings.Contains(strings.Join(flags, " "), "--listen") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	g.process = exec.Command(f.binary, args...)
	g.process.Env, g.process.Stderr = environment(env), g.log
	if err := g.process.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	go func() {
		_ = g.process.Wait() // The status stays in process.
		close(g.ended)
	}()
	if found := g.log.await(announcement, g.ended); found != nil {
		g.address = found[1]
		return g, nil
	}
	g.kill()
	return nil, fmt.Errorf("gateway %v did not start: %s", flags, g.log.String())
}

// stop asks the gateway to end, unless a step has done so, and waits until it has.
func (g *gateway) stop() error {
	if !g.isSignalled {
		_ = g.process.Process.Signal(syscall.SIGTERM) // If it has ended already, that is seen.
	}
	select {
	case <-g.ended:
		return nil
	case <-time.After(patience):
		return errors.New("it does not stop")
	}
}

func (g *gateway) kill() {
	_ = g.process.Process.Kill()
	<-g.ended
	os.RemoveAll(g.dir)
}

// command runs the binary to its end.
func (f *fleet) command(s *script) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, f.binary, s.flags...)
	var stdout, stderr bytes.Buffer
	c.Env, c.Stdout, c.Stderr = environment(s.env), &stdout, &stderr
	_ = c.Run() // How it ended is part of the answer.
	return fmt.Sprintf("stdout:\n%sstderr:\n%sended: %v\n", stdout.String(), stderr.String(), c.ProcessState)
}

// lines is a log that can be waited for.
type lines struct {
	mu   sync.Mutex
	cond *sync.Cond
	text []byte
}

func newLines() *lines {
	l := &lines{}
	l.cond = sync.NewCond(&l.mu)
	return l
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.cond.Broadcast()
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// await returns what is matched once something is; nil, if the process ends or patience does.
func (l *lines) await(what *regexp.Regexp, ended <-chan struct{}) []string {
	isOver := false
	over := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		isOver = true
		l.cond.Broadcast()
	}
	timer := time.AfterFunc(patience, over)
	defer timer.Stop()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-ended:
			over()
		case <-done:
		}
	}()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if found := what.FindStringSubmatch(string(l.text)); found != nil {
			return found
		}
		if isOver {
			return nil
		}
		l.cond.Wait()
	}
}
