//go:build linux || darwin || freebsd || openbsd || netbsd || dragonfly

package reactor

import (
	"errors"
	"syscall"
	"testing"
	"time"
)

// poller is what the conformance suite asks of a backend, be it the system's own or kqueue over a
// fake kernel.
type poller interface {
	Register(fd int, t Token, in Interest, m Mode) error
	Reregister(fd int, t Token, in Interest, m Mode) error
	Deregister(fd int) error
	Wait(dst []Event, timeout time.Duration) ([]Event, error)
	Wake() error
	Close() error
}

var behaviours = []struct {
	name string
	test func(*testing.T, poller)
}{
	{"EdgeReportsEachArrivalOnce", testEdgeReportsEachArrivalOnce},
	{"LevelReportsUntilDrained", testLevelReportsUntilDrained},
	{"LevelListenerReportsUntilAccepted", testLevelListenerReportsUntilAccepted},
	{"OneshotReportsOnceUntilReregister", testOneshotReportsOnceUntilReregister},
	{"OneshotSilencesBothDirections", testOneshotSilencesBothDirections},
	{"RegisterReportsWhatHoldsAlready", testRegisterReportsWhatHoldsAlready},
	{"ReregisterReportsWhatHoldsThoughItsEdgePassed", testReregisterReportsPassedEdge},
	{"ReregisterReplacesTokenInterestAndMode", testReregisterReplaces},
	{"NoInterestIsSilent", testNoInterestIsSilent},
	{"RearmAfterRefusedWriteReportsRoom", testRearmAfterRefusedWrite},
	{"RearmAfterTheRoomCameReportsIt", testRearmAfterRoomCame},
	{"WrongCallsAreRefused", testWrongCallsAreRefused},
	{"DeregisteredSourceIsSilent", testDeregisteredSourceIsSilent},
	{"ReusedDescriptorHasOnlyItsNewToken", testReusedDescriptorHasOnlyItsNewToken},
	{"SmallDstTakesTheRestNextTime", testSmallDstTakesTheRestNextTime},
	{"WaitAppendsWithinCapacity", testWaitAppendsWithinCapacity},
	{"HangupWithoutData", testHangupWithoutData},
	{"HangupKeepsData", testHangupKeepsData},
	{"HalfCloseLeavesTheOtherDirection", testHalfClose},
	{"OwnShutdownIsNoHangup", testOwnShutdownIsNoHangup},
	{"ResetIsAnError", testResetIsAnError},
	{"ResetBehindData", testResetBehindData},
	{"WaitIsNeverEarly", testWaitIsNeverEarly},
	{"WakeBeforeWait", testWakeBeforeWait},
	{"WakeEndsWait", testWakeEndsWait},
	{"WakesCoalesce", testWakesCoalesce},
	{"NoWakeIsLostInAFlood", testNoWakeIsLostInAFlood},
	{"NoWakeIsLostInLockstep", testNoWakeIsLostInLockstep},
}

// testPoller holds a backend to the contract written at Poller.
func testPoller(t *testing.T, open func() (poller, error)) {
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) {
			p, err := open()
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			b.test(t, p)
		})
	}
	t.Run("CloseFreesItsOwnDescriptorsOnly", func(t *testing.T) { testClose(t, open) })
}

func TestPoller(t *testing.T) {
	testPoller(t, func() (poller, error) { return NewPoller() })
}

const testToken Token = 7<<32 | 3

func testEdgeReportsEachArrivalOnce(t *testing.T, p poller) {
	a, b := socketPair(t)
	register(t, p, a, testToken, Readable, Edge)
	silent(t, p)
	for range 3 { // Nothing is read in between.
		write(t, b, "x")
		expect(t, p, testToken, readyRead)
		silent(t, p)
	}
}

func testLevelReportsUntilDrained(t *testing.T, p poller) {
	a, b := socketPair(t)
	register(t, p, a, testToken, Readable, Level)
	write(t, b, "xyz")
	for range 3 {
		expect(t, p, testToken, readyRead)
	}
	drain(t, a)
	silent(t, p)
}

func testLevelListenerReportsUntilAccepted(t *testing.T, p poller) {
	l, addr := listen(t)
	register(t, p, l, testToken, Readable, Level)
	silent(t, p)
	dial(t, addr)
	dial(t, addr)
	expect(t, p, testToken, readyRead)
	accept(t, l)
	expect(t, p, testToken, readyRead)
	accept(t, l)
	silent(t, p)
}

func testOneshotReportsOnceUntilReregister(t *testing.T, p poller) {
	a, b := socketPair(t)
	register(t, p, a, testToken, Readable, Oneshot)
	for range 3 {
		write(t, b, "x")
		expect(t, p, testToken, readyRead)
		write(t, b, "y")
		silent(t, p)
		reregister(t, p, a, testToken, Readable, Oneshot)
		expect(t, p, testToken, readyRead)
		drain(t, a)
		reregister(t, p, a, testToken, Readable, Oneshot)
		silent(t, p)
	}
}

func testOneshotSilencesBothDirections(t *testing.T, p poller) {
	a, b := socketPair(t)
	register(t, p, a, testToken, Readable|Writable, Oneshot)
	if ev := expect(t, p, testToken, readyWrite); ev.Readable() {
		t.Fatalf("%v, but nothing was sent", ev)
	}
	write(t, b, "x")
	silent(t, p)
	reregister(t, p, a, testToken, Readable|Writable, Oneshot)
	expect(t, p, testToken, readyRead|readyWrite)
	silent(t, p)
	if err := p.Deregister(a); err != nil {
		t.Fatal(err)
	}
}

func testRegisterReportsWhatHoldsAlready(t *testing.T, p poller) {
	for _, m := range []Mode{Edge, Level, Oneshot} {
		a, b := socketPair(t)
		write(t, b, "x")
		register(t, p, a, testToken, Readable|Writable, m)
		expect(t, p, testToken, readyRead|readyWrite)
		if err := p.Deregister(a); err != nil {
			t.Fatal(err)
		}
	}
}

func testReregisterReportsPassedEdge(t *testing.T, p poller) {
	a, b := socketPair(t)
	register(t, p, a, testToken, Readable|Writable, Edge)
	write(t, b, "x")
	expectAll(t, p, testToken, readyRead|readyWrite)
	silent(t, p)
	for range 3 {
		reregister(t, p, a, testToken, Readable|Writable, Edge)
		expect(t, p, testToken, readyRead|readyWrite)
		silent(t, p)
	}
}

func testReregisterReplaces(t *testing.T, p poller) {
	a, b := socketPair(t)
	const second = testToken + 1
	register(t, p, a, testToken, Readable, Edge)
	reregister(t, p, a, second, Writable, Edge)
	write(t, b, "x")
	if ev := expect(t, p, second, readyWrite); ev.Readable() {
		t.Fatalf("%v, but only Writable was asked for", ev)
	}
	silent(t, p)
	reregister(t, p, a, testToken, Readable, Level)
	for range 2 {
		if ev := expect(t, p, testToken, readyRead); ev.Writable() {
			t.Fatalf("%v, but only Readable was asked for", ev)
		}
	}
	reregister(t, p, a, testToken, Readable, Edge)
	expect(t, p, testToken, readyRead)
	silent(t, p)
}

func testNoInterestIsSilent(t *testing.T, p poller) {
	a, b := socketPair(t)
	write(t, b, "x")
	register(t, p, a, testToken, 0, Level)
	silent(t, p)
	reregister(t, p, a, testToken, Readable, Level)
	expect(t, p, testToken, readyRead)
	reregister(t, p, a, testToken, 0, Level)
	silent(t, p)
}

// A gateway's connection: for life on Readable, and on Writable too while a write stands refused.
func testRearmAfterRefusedWrite(t *testing.T, p poller) {
	a, b := socketPair(t)
	register(t, p, a, testToken, Readable, Edge)
	for range 3 {
		fill(t, a)
		reregister(t, p, a, testToken, Readable|Writable, Edge)
		silent(t, p)
		drain(t, b)
		expect(t, p, testToken, readyWrite)
		write(t, a, "x")
		reregister(t, p, a, testToken, Readable, Edge)
		drain(t, b)
		silent(t, p)
	}
}

// The peer reads between the refusal and the rearming: no edge will follow, the rearming itself
// must tell.
func testRearmAfterRoomCame(t *testing.T, p poller) {
	a, b := socketPair(t)
	register(t, p, a, testToken, Readable, Edge)
	for range 3 {
		fill(t, a)
		drain(t, b)
		reregister(t, p, a, testToken, Readable|Writable, Edge)
		expect(t, p, testToken, readyWrite)
		// And once more while Writable is asked for already.
		fill(t, a)
		drain(t, b)
		reregister(t, p, a, testToken, Readable|Writable, Edge)
		expect(t, p, testToken, readyWrite)
		reregister(t, p, a, testToken, Readable, Edge)
		silent(t, p)
	}
}

func testWrongCallsAreRefused(t *testing.T, p poller) {
	a, b := socketPair(t)
	register(t, p, a, testToken, Readable, Edge)
	for what, c := range map[string]struct{ got, want error }{
		"register twice":               {p.Register(a, testToken, Readable, Edge), syscall.EEXIST},
		"reregister what is unknown":   {p.Reregister(b, testToken, Readable, Edge), syscall.ENOENT},
		"deregister what is unknown":   {p.Deregister(b), syscall.ENOENT},
		"register a closed descriptor": {p.Register(closedDescriptor(t), testToken, Readable, Edge), syscall.EBADF},
		"register a negative number":   {p.Register(-1, testToken, Readable, Edge), syscall.EBADF},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	write(t, b, "x") // The refused calls did no harm.
	expect(t, p, testToken, readyRead)
}

func testDeregisteredSourceIsSilent(t *testing.T, p poller) {
	a, b := socketPair(t)
	register(t, p, a, testToken, Readable|Writable, Level)
	write(t, b, "x")
	expect(t, p, testToken, readyRead|readyWrite)
	if err := p.Deregister(a); err != nil {
		t.Fatal(err)
	}
	silent(t, p)
	register(t, p, a, testToken, Readable, Edge) // It may come back.
	expect(t, p, testToken, readyRead)
}

func testReusedDescriptorHasOnlyItsNewToken(t *testing.T, p poller) {
	slab := NewSlab[int](1)
	old, _ := slab.Insert(0)
	a, b := socketPair(t)
	register(t, p, a, old, Readable|Writable, Edge)
	write(t, b, "x")
	stale := expectAll(t, p, old, readyRead|readyWrite)

	if err := p.Deregister(a); err != nil {
		t.Fatal(err)
	}
	slab.Remove(old)
	reuseNumber(t, a)
	fresh, _ := slab.Insert(a)
	register(t, p, a, fresh, Readable|Writable, Edge)

	if _, ok := slab.Get(stale.Token); ok {
		t.Errorf("the slab knows the old token %v", stale.Token)
	}
	if ev := expect(t, p, fresh, readyWrite); ev.Readable() {
		t.Errorf("%v: the bytes were sent to the old socket", ev)
	}
	silent(t, p)
}

func testSmallDstTakesTheRestNextTime(t *testing.T, p poller) {
	const sources = 5
	for i := range sources {
		a, b := socketPair(t)
		register(t, p, a, makeToken(uint32(i), 1), Readable, Edge)
		write(t, b, "x")
	}
	seen := map[Token]int{}
	for range 3 {
		events, err := p.Wait(make([]Event, 0, 2), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range events {
			seen[ev.Token]++
		}
	}
	if len(seen) != sources {
		t.Errorf("three waits for two reported %d of %d sources", len(seen), sources)
	}
	for token, n := range seen {
		if n != 1 {
			t.Errorf("%v was reported %d times", token, n)
		}
	}
	silent(t, p)
}

func testWaitAppendsWithinCapacity(t *testing.T, p poller) {
	for i := range 3 {
		a, b := socketPair(t)
		register(t, p, a, makeToken(uint32(i), 1), Readable, Level)
		write(t, b, "x")
	}
	first := Event{Token: testToken, ready: readyTimeout}
	dst := append(make([]Event, 0, 3), first)
	got, err := p.Wait(dst, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0] != first || &got[0] != &dst[0] {
		t.Errorf("got %v behind %v in room for two", got, first)
	}
}

func testClose(t *testing.T, open func() (poller, error)) {
	before := closedDescriptor(t)
	a, b := socketPair(t)
	p, err := open()
	if err != nil {
		t.Fatal(err)
	}
	register(t, p, a, testToken, Readable, Edge)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, b, "x")
	if got := drain(t, a); got != 1 {
		t.Errorf("read %d bytes from the watched descriptor, want 1", got)
	}
	closeNow(t, a)
	closeNow(t, b)
	if after := closedDescriptor(t); after != before {
		t.Errorf("the lowest free descriptor was %d and is %d", before, after)
	}
}
