//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"bytes"
	"errors"
	"syscall"
	"testing"

	"sluice/reactor/internal/sys"
)

// A sendKernel answers writes to some descriptors from a list, and otherwise writes.
type sendKernel struct {
	sys.Real
	answers map[int][]error
	most    int // bytes that a write takes; zero: any number
	calls   []int

	ringFails   error // what it says to a ring's whole batch
	notBegun    int   // of a batch …
	unfinished  int   // … and the descriptor of a send that does not end
	ringsClosed int
}

func (k *sendKernel) Read(fd int, p []byte) (int, error) { return k.Real.Read(fd, p) }

func (k *sendKernel) OpenRing(int) (*KernelRing, error) { return new(KernelRing), nil }

func (k *sendKernel) CloseRing(*KernelRing) { k.ringsClosed++ }

// SendRing writes in an order of its own.
func (k *sendKernel) SendRing(_ *KernelRing, batch []Send, done []Completion) (begun, completed int, err error) {
	if k.ringFails != nil {
		return 0, 0, k.ringFails
	}
	begun = max(0, len(batch)-k.notBegun)
	for i := begun - 1; i >= 0; i-- {
		if batch[i].FD == k.unfinished {
			continue
		}
		n, err := k.Write(batch[i].FD, batch[i].Bytes)
		if errno, ok := err.(syscall.Errno); ok {
			n = -int(errno)
		}
		done[completed] = Completion{Index: uint64(i), Result: int32(n)}
		completed++
	}
	return begun, completed, nil
}

func (k *sendKernel) Write(fd int, p []byte) (int, error) {
	k.calls = append(k.calls, fd)
	if list := k.answers[fd]; len(list) > 0 {
		k.answers[fd] = list[1:]
		if list[0] != nil {
			return 0, list[0]
		}
	}
	if k.most > 0 {
		p = p[:min(len(p), k.most)]
	}
	return k.Real.Write(fd, p)
}

// A batch on the system's own kernel: each write is one, whoever refuses.
func TestSendBatchMakesEveryWrite(t *testing.T) {
	full, _ := tcpPair(t)
	fill(t, full)
	var batch []Send
	var peers []int
	for i := range 5 {
		a, b := tcpPair(t)
		peers = append(peers, b)
		batch = append(batch, Send{FD: a, Bytes: []byte{byte('a' + i), '!'}})
	}
	batch[1].FD = full
	batch[3].FD = closedDescriptor(t)
	batch[4].N, batch[4].Err = 77, errors.New("of the batch before")
	SendBatch(sys.Real{}, batch)
	for i, s := range batch {
		n, err := 2, error(nil)
		switch i {
		case 1:
			n, err = 0, syscall.EAGAIN
		case 3:
			n, err = 0, syscall.EBADF
		}
		if s.N != n || s.Err != err {
			t.Errorf("write %d: %d, %v; want %d, %v", i, s.N, s.Err, n, err)
			continue
		}
		if err == nil {
			want := []byte{byte('a' + i), '!'}
			buf := make([]byte, 8)
			if n, err := readOnce(peers[i], buf); err != nil || !bytes.Equal(buf[:n], want) {
				t.Errorf("write %d: %q came, %v", i, buf[:n], err)
			}
		}
	}
}

func readOnce(fd int, buf []byte) (int, error) {
	for {
		if n, err := (sys.Real{}).Read(fd, buf); !errors.Is(err, syscall.EAGAIN) {
			return n, err
		}
	}
}

// A signal is no refusal; but one write is not tried for ever while the others wait.
func TestSendBatchTriesAgainAFewTimesWhenInterrupted(t *testing.T) {
	for interrupted := range 6 {
		a, _ := socketPair(t)
		b, _ := socketPair(t)
		k := &sendKernel{answers: map[int][]error{}}
		for range interrupted {
			k.answers[a] = append(k.answers[a], syscall.EINTR)
		}
		batch := []Send{{FD: a, Bytes: []byte("one")}, {FD: b, Bytes: []byte("two")}}
		SendBatch(k, batch)
		want := Send{FD: a, N: 3}
		if interrupted >= 3 {
			want = Send{FD: a, Err: syscall.EINTR}
		}
		if got := batch[0]; got.N != want.N || got.Err != want.Err {
			t.Errorf("interrupted %d times: %d, %v; want %d, %v", interrupted, got.N, got.Err, want.N, want.Err)
		}
		if calls := min(interrupted+1, 3) + 1; len(k.calls) != calls {
			t.Errorf("interrupted %d times: %d calls, want %d", interrupted, len(k.calls), calls)
		}
		if batch[1].N != 3 || batch[1].Err != nil {
			t.Errorf("interrupted %d times: the other write: %d, %v", interrupted, batch[1].N, batch[1].Err)
		}
	}
}

// What the kernel takes in part is not asked for again: that is for whoever owns the bytes.
func TestSendBatchTellsShortWrites(t *testing.T) {
	a, _ := socketPair(t)
	k := &sendKernel{most: 4}
	batch := []Send{{FD: a, Bytes: []byte("0123456789")}, {FD: a, Bytes: nil}}
	SendBatch(k, batch)
	if batch[0].N != 4 || batch[0].Err != nil || batch[1].N != 0 || batch[1].Err != nil || len(k.calls) != 2 {
		t.Errorf("took %d and %d bytes, %v, %v, in %d calls", batch[0].N, batch[1].N, batch[0].Err, batch[1].Err, len(k.calls))
	}
}

func TestSendBatchAllocatesNothing(t *testing.T) {
	a, b := socketPair(t)
	var kernel Kernel = sys.Real{}
	batch := make([]Send, 16)
	p, buf := []byte("hello"), make([]byte, 256)
	if n := testing.AllocsPerRun(100, func() {
		for i := range batch {
			batch[i] = Send{FD: a, Bytes: p}
		}
		SendBatch(kernel, batch)
		for got := 0; got < 16*len(p); {
			n, _ := kernel.Read(b, buf)
			got += n
		}
	}); n != 0 {
		t.Errorf("%v allocations for a batch", n)
	}
}
