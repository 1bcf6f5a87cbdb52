//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package main

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/reactor"
)

// sharedMemory are what the processes of a run have in common: memory for the stats, and for each process a pipe that wakes
// it.
type sharedMemory struct {
	file   *os.File
	memory []byte
	reads  []*os.File
	writes []*os.File
}

func newSharedMemory(size, processes int) (m *sharedMemory, err error) {
	m = &sharedMemory{}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.file, err = os.CreateTemp("", "loadtest-stats-"); err != nil {
		return nil, err
	}
	if err = errors.Join(os.Remove(m.file.Name()), m.file.Truncate(int64(size))); err != nil {
		return nil, err
	}
	if m.memory, err = mapShared(int(m.file.Fd()), size); err != nil {
		return nil, err
	}
	for range processes {
		var p [2]int
		if err = pipe(&p); err != nil {
			return nil, err
		}
		m.reads = append(m.reads, os.NewFile(uintptr(p[0]), "pipe"))
		m.writes = append(m.writes, os.NewFile(uintptr(p[1]), "pipe"))
		// Only now: a File that is made of a non-blocking descriptor makes it block when it is handed to a child.
		if err = errors.Join(unix.SetNonblock(p[0], true), unix.SetNonblock(p[1], true)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func mapShared(fd, size int) ([]byte, error) {
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return b, os.NewSyscallError("mmap", err)
}

// pipe makes one that only helpers inherit. Not by os.Pipe, whose ends would be the runtime poller's.
func pipe(p *[2]int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(p[:]); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	unix.CloseOnExec(p[0])
	unix.CloseOnExec(p[1])
	return nil
}

// files are what a helper inherits, in the order that inherit expects.
func (m *sharedMemory) files(process int) []*os.File {
	return append([]*os.File{m.file, m.reads[process]}, m.writes...)
}

// firstInherited is the descriptor of the first of exec.Cmd's ExtraFiles.
const firstInherited = 3

// inherit takes over what files passed on.
func inherit(size, processes int) (memory []byte, p *wakePipes, err error) {
	if memory, err = mapShared(firstInherited, size); err != nil {
		return nil, nil, err
	}
	p = &wakePipes{read: firstInherited + 1}
	for i := range processes {
		p.write = append(p.write, firstInherited+2+i)
	}
	return memory, p, nil
}

// wakePipes are how this process hears and calls: its own pipe's end for reading, and everybody's for writing.
type wakePipes struct {
	read  int
	write []int
	run   *run
}

func (m *sharedMemory) wakePipes(process int) *wakePipes {
	p := &wakePipes{read: int(m.reads[process].Fd())}
	for _, f := range m.writes {
		p.write = append(p.write, int(f.Fd()))
	}
	return p
}

// wake wakes a process. A full pipe has woken it already.
func (p *wakePipes) wake(process int) { _, _ = unix.Write(p.write[process], []byte{1}) }

func (p *wakePipes) register(r *run) error {
	p.run = r
	own, err := reactor.Duplicate(p.read) // The loop closes it.
	if err == nil {
		_, err = r.workers[0].loop.Register(own, reactor.Readable, reactor.Edge, p)
	}
	return err
}

// OnEvent implements reactor.Source. The order is that of every wake-up: read, clear the flag, look at the stats. Who
// writes to the stats later finds the flag clear and calls again.
func (p *wakePipes) OnEvent(*reactor.Loop, reactor.Event) {
	var buf [64]byte
	for n := len(buf); n == len(buf); {
		var err error
		if n, err = unix.Read(p.read, buf[:]); err != nil {
			break
		}
	}
	p.run.stats.wakePending[p.run.rank.index].Store(false)
	for _, w := range p.run.workers {
		w.loop.Wake()
	}
}

func (m *sharedMemory) close() {
	for _, f := range append(append([]*os.File{m.file}, m.reads...), m.writes...) {
		if f != nil {
			f.Close()
		}
	}
	if m.memory != nil {
		_ = unix.Munmap(m.memory)
	}
}
