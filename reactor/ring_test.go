//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"errors"
	"syscall"
	"testing"
)

// A ringRig is a ring of a kernel that answers from a list, and sockets to write to.
type ringRig struct {
	*testing.T
	kernel *sendKernel
	ring   *Ring
	peers  []int
	batch  []Send
}

func newRingRig(t *testing.T, sends int) *ringRig {
	t.Helper()
	r := &ringRig{T: t, kernel: &sendKernel{answers: map[int][]error{}, unfinished: -1}}
	var err error
	if r.ring, err = OpenRing(r.kernel); err != nil {
		t.Fatal(err)
	}
	for i := range sends {
		a, b := socketPair(t)
		r.peers = append(r.peers, b)
		r.batch = append(r.batch, Send{FD: a, Bytes: []byte{byte('a' + i), '!', '!'}, N: 77, Err: errors.New("of the batch before")})
	}
	return r
}

// expect holds the batch to what became of each send: how many bytes came, and its error.
func (r *ringRig) expect(bytes []int, errs []error) {
	r.Helper()
	buf := make([]byte, 16)
	for i, s := range r.batch {
		if s.N != bytes[i] || s.Err != errs[i] {
			r.Errorf("send %d: %d, %v; want %d, %v", i, s.N, s.Err, bytes[i], errs[i])
		}
		n, err := r.kernel.Read(r.peers[i], buf)
		if n != bytes[i] || n > 0 && buf[0] != byte('a'+i) || n == 0 && err != syscall.EAGAIN {
			r.Errorf("at the other end of send %d: %q, %v", i, buf[:n], err)
		}
	}
}

// What became of a send is its own, whatever order they end in.
func TestK32_RingTellsEachSendsOwnResult(t *testing.T) {
	r := newRingRig(t, 5)
	r.kernel.most = 2
	r.kernel.answers[r.batch[1].FD] = []error{syscall.EAGAIN}
	r.kernel.answers[r.batch[3].FD] = []error{syscall.EPIPE}
	r.kernel.answers[r.batch[4].FD] = []error{syscall.EINTR}
	if err := r.ring.SendBatch(r.batch); err != nil {
		t.Fatal(err)
	}
	r.expect([]int{2, 0, 2, 0, 0}, []error{nil, syscall.EAGAIN, nil, syscall.EPIPE, syscall.EINTR})
}

// A kernel that begins only some of a batch, as for want of memory, or because one of them is for a
// descriptor that is closed, leaves the others to be written alone.
func TestRingWritesAloneWhatIsNotBegun(t *testing.T) {
	for left := range 5 {
		r := newRingRig(t, 4)
		r.kernel.notBegun = left
		if err := r.ring.SendBatch(r.batch); err != nil {
			t.Errorf("%d not begun: %v", left, err)
		}
		r.expect([]int{3, 3, 3, 3}, make([]error, 4))
	}
}

// A call that fails has begun nothing. What a kernel forbids it will forbid again.
func TestK30_RingThatIsRefusedLosesNothing(t *testing.T) {
	for errno, ends := range map[error]bool{
		syscall.EAGAIN: false, syscall.EINTR: false,
		syscall.ENOSYS: true, syscall.EPERM: true, syscall.ENOMEM: true, syscall.EBADF: true,
	} {
		r := newRingRig(t, 3)
		r.kernel.ringFails = errno
		err := r.ring.SendBatch(r.batch)
		if (err != nil) != ends || ends && !errors.Is(err, errno) {
			t.Errorf("%v: the ring's end is %v", errno, err)
		}
		if closed := r.kernel.ringsClosed == 1; closed != ends {
			t.Errorf("%v: closed: %v", errno, closed)
		}
		r.expect([]int{3, 3, 3}, make([]error, 3))
		r.ring.Close()
		r.ring.Close()
		if r.kernel.ringsClosed != 1 {
			t.Errorf("%v: closed %d times", errno, r.kernel.ringsClosed)
		}
	}
}

// The kernel may read the bytes of a send that has not ended at any time. So they stay, nothing
// else is written there, and such a kernel is asked no more.
func TestK31_RingThatDoesNotFinishEnds(t *testing.T) {
	r := newRingRig(t, 4)
	r.kernel.unfinished = r.batch[2].FD
	bytes := &r.batch[2].Bytes[0]
	if err := r.ring.SendBatch(r.batch); !errors.Is(err, ErrUnfinished) {
		t.Errorf("ended with %v", err)
	}
	r.expect([]int{3, 3, 0, 3}, []error{nil, nil, ErrUnfinished, nil})
	if r.kernel.ringsClosed != 1 {
		t.Error("it is not closed")
	}
	isKept := false
	for _, p := range kept.all {
		isKept = isKept || &p[0] == bytes
	}
	if !isKept {
		t.Error("its bytes may be taken for something else")
	}
}
