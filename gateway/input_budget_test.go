package gateway

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
	"sluice/reactor/reactortest"
	"sluice/wsproto"
)

// letters are n characters of a text that deflates by a quarter and no further: codes of six bits.
func letters(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	random := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, n)
	for i := range p {
		p[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(p)
}

// A client is alone, its messages are far smaller than what is read at a time, and it has to wait
// with a read of them undecoded: it has done nothing wrong, and a loop's least share of
// --assembly-memory has room for that.
func TestWhoWaitsAloneIsWithinTheLeastShare(t *testing.T) {
	for name, tc := range map[string]struct {
		most     int // --max-message
		inflater int64
		deflates bool
	}{
		"for_a_rate":              {most: 100, inflater: 1}, // A whole inflater would hide what is missing.
		"while_one_is_inflated":   {most: 5600, deflates: true},
		"of_the_read_buffer_size": {most: readBufferSize, deflates: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Loops, cfg.MessageRate, cfg.overTime, cfg.inflaterSize = 1, 1, time.Hour, tc.inflater
			cfg.MaxMessage, cfg.AssemblyMemory = int64(tc.most), int64(tc.most)
			kernel := reactortest.New()
			kernel.StopClock()
			s, addr := startGatewayOn(t, cfg, kernel)
			c := wstest.JoinDeflated(t, addr, "/ws/r")
			c.Send(wstest.MaskedText("one"), wstest.MaskedText("two"), wstest.MaskedText("three"))
			c.ExpectFrame(ws.OpText, "one")
			c.ExpectFrame(ws.OpText, "two")
			testenv.Eventually(t, "it is not read", func() bool { return testenv.StatsOf(t, s).Throttled > 0 })
			large := letters(tc.most)
			first := wstest.MaskedText(large)
			if tc.deflates {
				first = wstest.MaskedDeflated(ws.OpText, wstest.Deflated(large))
			}
			c.Send(first, bytes.Repeat(wstest.MaskedText("small"), readBufferSize/11)) // More than one read, which finds all of it there.
			kernel.Pass(2 * time.Second)
			c.ExpectFrame(ws.OpText, "three")
			if got := wstest.Inflated(t, c.Frame()); got != large {
				t.Fatalf("got %d bytes, %.20q, want the large message", len(got), got)
			}
			s.each(t, func(c *conn) {
				if c.life != open || c.in == nil || len(c.in.stash) < readBufferSize-len(first)-len(wstest.MaskedText("small")) {
					t.Errorf("it does not wait with all of a read but its first message: state %d", c.life)
				}
			})
			for range 3 {
				kernel.Pass(2 * time.Second) // One a second, and timers are a little late.
				c.ExpectFrame(ws.OpText, "small")
			}
		})
	}
}

// What a connection may hold is written down as a sum. Here it holds the most that it can be made
// to: a message but for its last byte, and a ping but for its; and a message that is inflated, at
// each of its slices.
func TestNoConnectionHoldsMoreThanItsSum(t *testing.T) {
	largest := 200_000
	if testenv.IsWholeSize(t) {
		largest = 1 << 20
	}
	for _, inflater := range []int64{1, inflaterSize} {
		for _, most := range []int{1, 100, 300, 5600, 8 << 10, 20_000, largest} {
			cfg := testConfig()
			cfg.MaxMessage, cfg.inflaterSize, cfg.AssemblyMemory = int64(most), inflater, int64(most)
			if err := cfg.prepare(); err != nil {
				t.Fatal(err)
			}
			held, bound := max(heldInPieces(t, cfg), heldInSlices(t, cfg)), int(cfg.inputMax())
			t.Logf("--max-message %d, an inflater counts for %d: %d bytes are held, of at most %d", most, inflater, held, bound)
			if share := cfg.assemblyShare(); held > bound || share < bound+most {
				t.Errorf("--max-message %d: a connection holds %d, at most %d by its sum; a loop's share is %d", most, held, bound, share)
			}
		}
	}
}

// heldInPieces is what a connection holds of a message and a ping that lack their ends, with a read
// that waits.
func heldInPieces(t *testing.T, cfg *config) int {
	t.Helper()
	in := inbound{decoder: wsproto.Decoder{Limit: int(cfg.MaxMessage)}, stash: make([]byte, cfg.readMax())}
	defer in.decoder.Release()
	ping := wstest.Masked(ws.OpPing, true, strings.Repeat("p", wsproto.MaxControlPayload))
	for _, part := range [][]byte{wstest.Masked(ws.OpText, false, letters(int(cfg.MaxMessage)-1)), cutOff(ping)} {
		if _, n, err := in.decoder.Next(part); n != len(part) || err != nil {
			t.Fatalf("took %d of %d bytes: %v", n, len(part), err)
		}
	}
	return in.size(cfg)
}

// heldInSlices is what a connection holds at most between slices of a message that is inflated,
// with a read that waits; zero if there is no such message.
func heldInSlices(t *testing.T, cfg *config) (most int) {
	t.Helper()
	text := letters(int(cfg.MaxMessage))
	payload := wstest.Deflated(text)
	if len(payload) > len(text) {
		return 0
	}
	in := inbound{
		decoder: wsproto.Decoder{Limit: len(text), Deflate: true, Slice: cfg.readBudget},
		stash:   make([]byte, cfg.readMax()),
	}
	defer in.decoder.Release()
	for src := wstest.MaskedDeflated(ws.OpText, payload); ; {
		m, n, err := in.decoder.Next(src)
		if err != nil || m.Op != 0 {
			if string(m.Payload) != text {
				t.Errorf("of %d bytes %d were inflated: %v", len(text), len(m.Payload), err)
			}
			return most
		}
		src = src[n:]
		most = max(most, in.size(cfg))
	}
}

// conns is how many connections hold something.
func (b *inputBudget) conns() (n int) {
	for i := range b.all {
		n += b.all[i].Len()
	}
	return n
}

// N72: hundreds of clients hold a part of a large message each and send no more; who sends on is
// served, and they pay for it. Relatives: parts of just the size of a buffer; clients that dribble,
// a byte now and then; many small parts; one address that holds more than half and sends on; and
// who was not read for our sake.
func TestN72_WhoSendsOnIsServedAndWhoStoppedPays(t *testing.T) {
	t.Parallel()
	size := 1 // of four: of the attackers, and of the memory that they take
	if testenv.IsWholeSize(t) {
		size = 4
	}
	for name, tc := range map[string]struct {
		attackers, part int
		dribbles        bool
	}{
		"a_bit_more_than_a_buffer": {64*size - 1, 66_000, false},
		"just_a_buffer":            {64*size - 1, 131_000, false},
		"dribblers":                {64*size - 1, 131_000, true},
		"small_parts":              {124*size - 2, 33_000, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Loops, cfg.AssemblyMemory = 1, int64(size)*8<<20
			if name == "small_parts" {
				cfg.AssemblyMemory = int64(size) * 31 << 18 // Their buffers are of 64 KiB.
			}
			kernel := reactortest.New()
			kernel.StopClock()
			s, addr := startGatewayOn(t, cfg, kernel)
			var attackers []*wstest.Client
			part := wstest.Masked(ws.OpBinary, true, string(make([]byte, 1<<20)))[:tc.part]
			for range tc.attackers {
				c := wstest.Join(t, addr, "/ws/attack")
				c.Send(part)
				attackers = append(attackers, c)
			}
			held := func() int64 { return s.workers[0].inputBudget.shown.Load() }
			testenv.Eventually(t, "they hold all there is", func() bool {
				n := 0
				s.each(t, func(c *conn) {
					if c.in != nil && c.in.portion.bytes >= tc.part-20 {
						n++
					}
				})
				return n == tc.attackers
			})
			before := held()
			kernel.Pass(5 * time.Second)
			if tc.dribbles {
				for _, c := range attackers {
					c.Send([]byte{0})
				}
			}
			honest := wstest.Join(t, addr, "/ws/honest")
			text := letters(300_000)
			message := wstest.MaskedText(text)
			honest.Send(message[:150_000])
			testenv.Eventually(t, "its first half has come", func() bool {
				n := 0
				s.each(t, func(c *conn) {
					if c.reader.IsIn() && c.reader.Room().Name() == "honest" && c.in != nil {
						n = c.in.portion.bytes
					}
				})
				return n > 149_000
			})
			honest.Send(message[150_000:])
			honest.ExpectFrame(ws.OpText, text)
			kernel.Pass(2 * time.Second) // A client that is closed lingers.
			testenv.Eventually(t, "somebody is closed", func() bool { return testenv.StatsOf(t, s).Closed[ClosedAssembly] > 0 })
			st := testenv.StatsOf(t, s)
			t.Logf("%d held %d bytes of %d; %d were closed", tc.attackers, before, cfg.assemblyShare(), st.Closed[ClosedAssembly])
			if n := st.Closed[ClosedAssembly]; n == 0 || n > 20 {
				t.Errorf("%d were closed for unfinished messages, want some of those who stopped", n)
			}
		})
	}
}

// portionOf is of a connection that holds n bytes, and has credit until then.
func portionOf(n int, credit time.Duration) *portion {
	return &portion{held: n, bytes: n, credit: credit, class: classOf(n)}
}

// A client that is not read because its room is full pays before those who send on, for as long as
// that lasts. When it is read on, it has cost it nothing: it is to blame no more than somebody who
// came just now.
func TestN72_TimeInWhichWeDidNotReadIsExcusedWhenItIsOver(t *testing.T) {
	const stood = 6 * time.Second
	began := 100 * time.Second
	now := began + stood
	waits, sendsOn := portionOf(300_000, began+assemblyCredit), portionOf(300_000, now+assemblyCredit)
	b := &inputBudget{}
	b.enter(waits)
	b.enter(sendsOn)
	if b.toBlame(now) != waits {
		t.Error("who sends on pays for who waits for its room")
	}
	b.excuse(waits, stood)
	if blame := waits.blame(now); blame != sendsOn.blame(now) {
		t.Errorf("who has waited is to blame by %v", blame)
	}
	dribbles := portionOf(300_000, now+assemblyCredit-time.Millisecond)
	b.enter(dribbles)
	if b.toBlame(now) != dribbles {
		t.Error("who has waited pays for who dribbles")
	}
}

// Who is to blame, among clients of one address and of many.
func TestN72_BlameIsForBytesAndForWhatIsLacking(t *testing.T) {
	now := 100 * time.Second
	at := func(bytes int, credit time.Duration) *portion { return portionOf(bytes, now+credit) }
	for i, tc := range []struct{ guilty, other *portion }{
		{at(66_000, -5*time.Second), at(300_000, assemblyCredit)},                   // It sends on.
		{at(66_000, -5*time.Second), at(1000, -9*time.Second)},                      // Both stopped, one holds more.
		{at(2000, -20*time.Second), at(1_000_000, assemblyCredit-time.Millisecond)}, // The other is hardly late.
		{at(70_000, -2*time.Second), at(66_000, -time.Second)},
	} {
		for _, order := range [][]*portion{{tc.guilty, tc.other}, {tc.other, tc.guilty}} {
			b := &inputBudget{}
			for _, one := range order {
				b.enter(one)
			}
			if got := b.toBlame(now); got != tc.guilty {
				t.Errorf("case %d: to blame is who holds %d bytes", i, got.bytes)
			}
		}
	}
	// Of an address that holds more than half, one pays, whoever else is late.
	b := &inputBudget{addresses: map[netip.Addr]*addressShare{}}
	share := b.share(netip.MustParseAddr("2001:db8::"))
	mine, late := at(1_000_000, assemblyCredit), at(66_000, -9*time.Second)
	mine.address = share
	for _, one := range []*portion{mine, late} {
		n := one.held
		one.held = 0
		b.enter(one)
		b.count(one, n)
	}
	if b.toBlame(now) != mine {
		t.Error("an address that holds nearly everything does not pay")
	}
	b.count(mine, -mine.held)
	b.leave(mine)
	if b.toBlame(now) != late || len(b.addresses) != 0 || len(b.largest) != 0 {
		t.Error("an address that holds nothing is still known")
	}
}

// A client that is closed is found without a look at all: of fifty thousand each costs little more
// than of five hundred.
func TestN80_NoScanForEachThatIsClosed(t *testing.T) {
	fill := func(n int) *inputBudget {
		b := &inputBudget{}
		for i := range n {
			b.enter(portionOf(300, time.Duration(i*7919%n)*time.Millisecond))
		}
		return b
	}
	const few, many = 500, 50_000
	take := func(n int) (took time.Duration) {
		b := fill(n)
		began, last := time.Now(), time.Duration(-1)
		for range few {
			one := b.toBlame(time.Hour)
			if one.credit < last {
				t.Fatal("not in order")
			}
			last = one.credit
			b.leave(one)
		}
		return time.Since(began)
	}
	ofFew, ofMany := time.Hour, time.Hour
	for range 5 { // A machine that turns to something else slows some of them down, but not all.
		ofFew, ofMany = min(ofFew, take(few)), min(ofMany, take(many))
	}
	t.Logf("%d of %d took %v, of %d %v", few, many, ofMany, few, ofFew)
	if ofMany > 60*ofFew { // Caches make it ten times. With a scan of all it is two hundred times and more.
		t.Errorf("%d of %d took %v, of %d only %v", few, many, ofMany, few, ofFew)
	}
	b := fill(0)
	if allocated := testing.AllocsPerRun(100, func() {
		one := portionOf(300, 0)
		b.enter(one)
		b.leave(one)
	}); allocated > 1 { // The one that the test makes.
		t.Errorf("%v allocations to enter and leave", allocated)
	}
}
