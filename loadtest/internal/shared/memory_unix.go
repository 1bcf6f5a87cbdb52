//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package shared

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"sluice/reactor"
)

// Memory is what the processes of a run have in common: memory for the stats, and for each process
// a pipe that wakes it. The first process makes it, the others inherit it.
type Memory struct {
	layout Layout
	file   *os.File
	memory []byte
	reads  []*os.File
	writes []*os.File
}

// NewMemory makes memory and pipes for as many processes as the layout says. They are to be closed.
func NewMemory(l Layout) (m *Memory, err error) {
	m = &Memory{layout: l}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	if m.file, err = os.CreateTemp("", "loadtest-stats-"); err != nil {
		return nil, err
	}
	if err = errors.Join(os.Remove(m.file.Name()), m.file.Truncate(int64(l.size()))); err != nil {
		return nil, err
	}
	if m.memory, err = mapShared(int(m.file.Fd()), l.size()); err != nil {
		return nil, err
	}
	for range l.Processes {
		var p [2]int
		if err = pipe(&p); err != nil {
			return nil, err
		}
		m.reads = append(m.reads, os.NewFile(uintptr(p[0]), "pipe"))
		m.writes = append(m.writes, os.NewFile(uintptr(p[1]), "pipe"))
		// Only now: a File that is made of a non-blocking descriptor makes it block when it is
		// handed to a child.
		if err = errors.Join(unix.SetNonblock(p[0], true), unix.SetNonblock(p[1], true)); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Rank is that of the process which made the memory. It must not be used any more when that is
// closed.
func (m *Memory) Rank() *Rank {
	p := &wakePipes{read: int(m.reads[0].Fd())}
	for _, f := range m.writes {
		p.write = append(p.write, int(f.Fd()))
	}
	return &Rank{Index: 0, Count: m.layout.Processes, Stats: layOut(&carver{mem: m.memory}, m.layout), pipes: p}
}

func mapShared(fd, size int) ([]byte, error) {
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return b, os.NewSyscallError("mmap", err)
}

// pipe makes one that only helpers inherit. Not by os.Pipe, whose ends would be the runtime
// poller's.
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

// Files are what the process of this rank has to be started with, as exec.Cmd's ExtraFiles and
// before any others.
func (m *Memory) Files(rank int) []*os.File {
	return append([]*os.File{m.file, m.reads[rank]}, m.writes...)
}

// firstInherited is the descriptor of the first of exec.Cmd's ExtraFiles.
const firstInherited = 3

// Inherit is the rank of a process that was started with Files.
func Inherit(l Layout, index int) (*Rank, error) {
	memory, err := mapShared(firstInherited, l.size())
	if err != nil {
		return nil, err
	}
	p := &wakePipes{read: firstInherited + 1}
	for i := range l.Processes {
		p.write = append(p.write, firstInherited+2+i)
	}
	return &Rank{Index: index, Count: l.Processes, Stats: layOut(&carver{mem: memory}, l), pipes: p}, nil
}

// wakePipes are how this process is woken and wakes: its own pipe's end for reading, and
// everybody's for writing.
type wakePipes struct {
	read    int
	write   []int
	onWoken func()
}

// wake wakes a process. A full pipe has woken it already.
func (p *wakePipes) wake(process int) { _, _ = unix.Write(p.write[process], []byte{1}) }

// register makes loop call onWoken when a byte has come, after it was read.
func (p *wakePipes) register(loop *reactor.Loop, onWoken func()) error {
	p.onWoken = onWoken
	own, err := reactor.Duplicate(p.read) // The loop closes it.
	if err == nil {
		_, err = loop.Register(own, reactor.Readable, reactor.Edge, p)
	}
	return err
}

// OnEvent implements reactor.Source. The order is that of every wake-up: read, clear the flag, look
// at the stats. A loop that writes to the stats later finds the flag clear and wakes again.
func (p *wakePipes) OnEvent(*reactor.Loop, reactor.Event) {
	var buf [64]byte
	for n := len(buf); n == len(buf); {
		var err error
		if n, err = unix.Read(p.read, buf[:]); err != nil {
			break
		}
	}
	p.onWoken()
}

// Close gives everything back: nobody may use the Rank any more.
func (m *Memory) Close() {
	for _, f := range append(append([]*os.File{m.file}, m.reads...), m.writes...) {
		if f != nil {
			f.Close()
		}
	}
	if m.memory != nil {
		_ = unix.Munmap(m.memory)
	}
}
