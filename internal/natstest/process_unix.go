//go:build unix

package natstest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// brokerEnv has, in the environment of a test binary that is to be a server, what server it is to
// be.
const brokerEnv = "SLUICE_TEST_BROKER"

// A Process is a server in a process of its own: this test's binary, run again.
type Process struct {
	t    testing.TB
	spec spec
	mu   sync.Mutex
	cmd  *exec.Cmd // nil while it does not run
	in   io.Closer
}

type spec struct {
	Store string
	Port  int // of clients
	Index int
	Ports []int // of routes; of one server none
}

// Main is to be called by TestMain before anything else. In a process that is to be a server it
// does not return.
func Main() {
	text, is := os.LookupEnv(brokerEnv)
	if !is {
		return
	}
	var s spec
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	o := options(s.Store, s.Port)
	if len(s.Ports) > 0 {
		join(o, s.Index, s.Ports)
	}
	broker, err := server.NewServer(o)
	if err != nil {
		panic(err)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() { // The test has gone, whichever way.
		_, _ = io.Copy(io.Discard, os.Stdin)
		ended <- syscall.SIGTERM
	}()
	broker.Start()
	<-ended
	End(broker)
	os.Exit(0)
}

// StartProcesses starts so many servers, which know each other if they are several.
func StartProcesses(t testing.TB, n int) []*Process {
	t.Helper()
	clients, routes := Ports(t, n), Ports(t, n)
	if n == 1 {
		routes = nil
	}
	all := make([]*Process, n)
	for i := range all {
		all[i] = &Process{t: t, spec: spec{Store: t.TempDir(), Port: clients[i], Index: i, Ports: routes}}
		all[i].Run()
		t.Cleanup(all[i].Kill)
	}
	return all
}

// URL is where clients find it, now and when it is run again.
func (p *Process) URL() string { return "nats://127.0.0.1:" + strconv.Itoa(p.spec.Port) }

// Name is the server's name in its cluster.
func (p *Process) Name() string { return serverName(p.spec.Index) }

// Store is the directory that it keeps streams in.
func (p *Process) Store() string { return p.spec.Store }

// Run runs it, again if it has ended.
func (p *Process) Run() {
	p.t.Helper()
	text, err := json.Marshal(p.spec)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.cmd, p.in = cmd, in
	p.mu.Unlock()
}

// Kill ends it as kill -9 does.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Terminate ends it in order.
func (p *Process) Terminate() { p.end(syscall.SIGTERM) }

// end is a no-op if it does not run.
func (p *Process) end(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(s)
	if s == syscall.SIGKILL {
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // One that is stopped is killed at once as well.
	}
	_ = p.cmd.Wait() // A signal's status is no news.
	p.in.Close()
	p.cmd = nil
}

// Stop halts it as SIGSTOP does, until Continue.
func (p *Process) Stop() { p.signal(syscall.SIGSTOP) }

// Continue lets it go on.
func (p *Process) Continue() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Error(fmt.Errorf("signal %v: %w", s, err))
	}
}

// URLs are those of all.
func URLs(all []*Process) []string {
	var urls []string
	for _, p := range all {
		urls = append(urls, p.URL())
	}
	return urls
}

// Find returns the one of this name.
func Find(t testing.TB, all []*Process, name string) *Process {
	t.Helper()
	for _, p := range all {
		if p.Name() == name {
			return p
		}
	}
	t.Fatalf("no server is called %q", name)
	return nil
}
