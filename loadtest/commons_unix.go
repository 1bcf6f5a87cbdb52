//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package main

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/reactor"
)

// commons are what the processes of a run have in common: memory for the board, and for each process a pipe that wakes
// it.
type commons struct {
	file   *os.File
	memory []byte
	reads  []*os.File
	writes []*os.File
}

func newCommons(size, processes int) (c *commons, err error) {
	c = &commons{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.file, err = os.CreateTemp("", "loadtest-board-"); err != nil {
		return nil, err
	}
	if err = errors.Join(os.Remove(c.file.Name()), c.file.Truncate(int64(size))); err != nil {
		return nil, err
	}
	if c.memory, err = mapShared(int(c.file.Fd()), size); err != nil {
		return nil, err
	}
	for range processes {
		var p [2]int
		if err = pipe(&p); err != nil {
			return nil, err
		}
		c.reads = append(c.reads, os.NewFile(uintptr(p[0]), "pipe"))
		c.writes = append(c.writes, os.NewFile(uintptr(p[1]), "pipe"))
		// Only now: a File that is made of a non-blocking descriptor makes it block when it is handed to a child.
		if err = errors.Join(unix.SetNonblock(p[0], true), unix.SetNonblock(p[1], true)); err != nil {
			return nil, err
		}
	}
	return c, nil
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
func (c *commons) files(process int) []*os.File {
	return append([]*os.File{c.file, c.reads[process]}, c.writes...)
}

// firstInherited is the descriptor of the first of exec.Cmd's ExtraFiles.
const firstInherited = 3

// inherit takes over what files passed on.
func inherit(size, processes int) (memory []byte, e *ears, err error) {
	if memory, err = mapShared(firstInherited, size); err != nil {
		return nil, nil, err
	}
	e = &ears{read: firstInherited + 1}
	for i := range processes {
		e.write = append(e.write, firstInherited+2+i)
	}
	return memory, e, nil
}

// ears are how this process hears and calls: its own pipe's end for reading, and everybody's for writing.
type ears struct {
	read  int
	write []int
	run   *run
}

func (c *commons) ears(process int) *ears {
	e := &ears{read: int(c.reads[process].Fd())}
	for _, f := range c.writes {
		e.write = append(e.write, int(f.Fd()))
	}
	return e
}

// call wakes a process. A full pipe has woken it already.
func (e *ears) call(process int) { _, _ = unix.Write(e.write[process], []byte{1}) }

func (e *ears) register(r *run) error {
	e.run = r
	own, err := reactor.Duplicate(e.read) // The loop closes it.
	if err == nil {
		_, err = r.workers[0].loop.Register(own, reactor.Readable, reactor.Edge, e)
	}
	return err
}

// OnEvent implements reactor.Source. The order is that of every wake-up: read, clear the flag, look at the board. Who
// writes on the board later finds the flag clear and calls again.
func (e *ears) OnEvent(*reactor.Loop, reactor.Event) {
	var buf [64]byte
	for n := len(buf); n == len(buf); {
		var err error
		if n, err = unix.Read(e.read, buf[:]); err != nil {
			break
		}
	}
	e.run.board.poked[e.run.seat.index].Store(false)
	for _, w := range e.run.workers {
		w.loop.Wake()
	}
}

func (c *commons) close() {
	for _, f := range append(append([]*os.File{c.file}, c.reads...), c.writes...) {
		if f != nil {
			f.Close()
		}
	}
	if c.memory != nil {
		_ = unix.Munmap(c.memory)
	}
}
