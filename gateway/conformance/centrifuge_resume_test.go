package conformance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"sluice/gateway"
	"sluice/hub"
	"sluice/internal/sdktest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// frames is how many a connection of a client in three rooms gets until it has one batch: an answer
// to connect, at most three to subscribe, and the messages.
const frames = 1 + 3 + 3*batch

// batch is how many messages each room gets between two cuts.
const batch = 5

// A fate is where the first two connections of a client are cut.
type fate [2]wstest.Cut

// boundaries are fates at each message boundary of the first connection, with each one of the
// second, which is when the client recovers; or, at small size, with one.
func boundaries(all bool) (fates []fate) {
	for first := 1; first <= frames; first++ {
		for second := 1; second <= frames; second++ {
			if all || second == 1+first*7%frames {
				fates = append(fates, fate{{Frames: first}, {Frames: second}})
			}
		}
	}
	return fates
}

// anywhere are n fates at random bytes of either direction.
func anywhere(n int) (fates []fate) {
	const seed = 13
	random := rand.New(rand.NewPCG(seed, seed))
	at := func() wstest.Cut {
		if random.IntN(4) == 0 {
			return wstest.Cut{Up: 1 + random.Int64N(700)}
		}
		return wstest.Cut{Down: 1 + random.Int64N(2200)}
	}
	for range n {
		fates = append(fates, fate{at(), at()})
	}
	return fates
}

// S05. Connections are cut by a reset behind each message and inside of them, once more while the
// SDK recovers, and the messages of three rooms come all the same: each once, in order, with no
// gap.
func TestS05_SDKsRecoverFromCuts(t *testing.T) {
	t.Parallel()
	e := startEndpoint(t, spoken())
	for _, kind := range sdks(t) {
		t.Run(kind.Name, func(t *testing.T) {
			isWhole := testenv.IsWholeSize(t)
			fates, atOnce := boundaries(isWhole && kind.Name == "go"), 16
			n := 30
			if isWhole {
				n = 300
			}
			switch kind.Name { // Each client is a process, or a page.
			case "node":
				n = 10
			case "chromium":
				fates, n, atOnce = fates[:len(fates)/3], 4, 4
			}
			fates = append(fates, anywhere(n)...)
			var running sync.WaitGroup
			slots := make(chan struct{}, atOnce)
			for i, f := range fates {
				slots <- struct{}{}
				running.Go(func() {
					defer func() { <-slots }()
					if err := suffer(t, e, kind, f, fmt.Sprintf("%s.%d", kind.Name, i)); err != nil {
						t.Errorf("cut at %+v: %v", f, err)
					}
				})
			}
			running.Wait()
		})
	}
}

// suffer makes a client meet its fate in three rooms of its own.
func suffer(t *testing.T, e *endpoint, kind sdktest.Kind, f fate, name string) (err error) {
	rooms := []string{name + ".a", name + ".b", name + ".c"}
	way := wstest.NewCutter(t, e.addr, f[:]...)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; %d connections came", err, way.Came())
		}
	}()
	way.Admit(1)
	client := kind.Open(t, sdktest.Options{URL: spokenAt(way.Addr())})
	defer client.Close()
	events := client.Events()
	hasAll := func() bool {
		for _, room := range rooms {
			if !e.log.HasLast(events, room) {
				return false
			}
		}
		return true
	}
	client.Connect()
	for _, room := range rooms {
		client.Subscribe(room)
	}
	isThere := func() bool { return events.Count("subscribed", "") == len(rooms) }
	if err := events.Wait("three subscriptions, or the first cut", isThere, way.WasCut(0)); err != nil {
		return err
	}
	for n := range f { // A connection that has all before its cut is cut now.
		if err := e.publishNumbers(rooms, n*batch, n*batch+batch); err != nil {
			return err
		}
		if n > 0 {
			way.Admit(n + 1) // It comes back to a batch that it has missed.
		}
		if err := events.Wait("all so far, or a cut", hasAll, way.WasCut(n)); err != nil {
			return err
		}
		way.Reset()
		<-way.WasCut(n)
	}
	if err := e.publishNumbers(rooms, 2*batch, 3*batch); err != nil {
		return err
	}
	way.Admit(1 << 30)
	if err := events.Wait("all", hasAll, nil); err != nil {
		return err
	}
	for _, room := range rooms {
		if gaps, err := e.log.Judge(events, room); gaps > 0 || err != nil {
			return fmt.Errorf("%s: %d gaps, %w, of %v", room, gaps, err, events.All())
		}
	}
	return nil
}

// S07. A gateway that was started anew has other epochs: nothing is recovered of the one before,
// which is said, and all that follows comes.
func TestS07_SDKsHearOfARestart(t *testing.T) {
	t.Parallel()
	one, two := startEndpoint(t, spoken()), startEndpoint(t, spoken())
	for _, kind := range sdks(t) {
		t.Run(kind.Name, func(t *testing.T) {
			rooms := []string{kind.Name + ".a", kind.Name + ".b"}
			way := wstest.NewCutter(t, one.addr)
			client := kind.Open(t, sdktest.Options{URL: spokenAt(way.Addr())})
			events := client.Events()
			client.Connect()
			for _, room := range rooms {
				client.Subscribe(room)
				events.Expect(t, "subscribed", room, 1)
			}
			if err := one.publishNumbers(rooms, 0, 10); err != nil {
				t.Fatal(err)
			}
			for _, room := range rooms {
				events.Expect(t, "publication", room, 10)
			}
			if err := two.publishNumbers(rooms, 50, 55); err != nil {
				t.Fatal(err)
			}
			way.Lead(two.addr)
			way.Reset()
			begun := map[string]sdktest.Position{}
			for _, room := range rooms {
				again := expectEpoch(t, events, room)
				if !again.WasRecovering || again.Recovered {
					t.Errorf("%v, want nothing recovered", again)
				}
				begun[room] = *again.Position
			}
			if err := two.publishNumbers(rooms, 55, 60); err != nil {
				t.Fatal(err)
			}
			for _, room := range rooms {
				events.Expect(t, "publication", room, 15)
				expectAfter(t, events, room, begun[room], two)
			}
		})
	}
}

// expectEpoch waits for a client's first subscription to a room in another epoch than its first. On
// a busy machine an SDK may drop its connection before that and come back to where it was.
func expectEpoch(t *testing.T, events *sdktest.Record, room string) (e sdktest.Event) {
	t.Helper()
	isAnother := func() bool {
		all := events.Of("subscribed", room)
		i := slices.IndexFunc(all, func(e sdktest.Event) bool { return e.Position.Epoch != all[0].Position.Epoch })
		if i > 0 {
			e = all[i]
		}
		return i > 0
	}
	if err := events.Wait("it is subscribed to "+room+" in another epoch", isAnother, nil); err != nil {
		t.Fatal(err)
	}
	return e
}

// expectAfter holds what came behind a client's subscription to a room at a position to the
// endpoint where that was.
func expectAfter(t *testing.T, events *sdktest.Record, room string, at sdktest.Position, e *endpoint) {
	t.Helper()
	for i, p := range events.Of("publication", room)[10:] {
		if want := fmt.Sprintf(`{"n":%d}`, 55+i); p.Offset != at.Offset+1+uint64(i) || string(p.Data) != want {
			t.Errorf("%v, want %s at %d of %+v", p, want, i, at)
		}
	}
	if !e.log.HasLast(events, room) {
		t.Errorf("not the last of %s: %v", room, events.All())
	}
}

// S02. A client that takes nothing while its room, whose policy is to skip, says more than it
// keeps, is told of the gap: it subscribes anew and is not recovered, and all that follows comes.
// In the room beside, which keeps enough, it misses nothing.
func TestS02_SDKsHearOfAGapByPolicy(t *testing.T) {
	t.Parallel()
	if centrifugo() != "" {
		t.Skip("Centrifugo has no such policy")
	}
	for _, policy := range []gateway.RoomRule{{Pattern: "ticker.*", HasPolicy: true, Policy: hub.Skip}, {Pattern: "ticker.*", HasPolicy: true, Policy: hub.Latest}} {
		o := spoken()
		o.Rooms = []gateway.RoomRule{policy}
		o.History = []gateway.HistoryRule{{Pattern: "ticker.*", Messages: 2, Bytes: 64 << 10}, {Pattern: "*", Messages: 1000, Bytes: 8 << 20}}
		o.RoomBacklog, o.PublishWindow, o.MaxMessage = 256<<10, 64<<10, 64<<10
		o.SendBuffer = 64 << 10
		e := startEndpoint(t, o.Defaults())
		for _, kind := range sdks(t) {
			t.Run(fmt.Sprint(policy.Policy, " ", kind.Name), func(t *testing.T) { missSome(t, e, kind, kind.Name) })
		}
	}
}

func missSome(t *testing.T, e *endpoint, kind sdktest.Kind, room string) {
	ticker, beside := "ticker."+room, "kept."+room
	for range 2 { // Most of the room reads, or its publishers would wait for the one that does not.
		reader := wstest.Dial(t, e.addr, "/ws/"+ticker)
		go func() {
			for err := error(nil); err == nil; _, _, err = reader.Read(t.Context()) {
			}
		}()
	}
	way := wstest.NewCutter(t, e.addr)
	client := kind.Open(t, sdktest.Options{URL: spokenAt(way.Addr())})
	events := client.Events()
	client.Connect()
	for _, room := range []string{ticker, beside} {
		client.Subscribe(room)
		events.Expect(t, "subscribed", room, 1)
	}
	way.Still(true)
	if err := e.publishNumbers([]string{beside}, 0, 20); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	filler := make([]byte, 32_000) // not to be compressed
	for i := range 50 {            // The backlog and the sockets on the way take half a MB.
		for i := range filler {
			filler[i] = 'A' + byte(random.IntN(26))
		}
		e.publishPatiently(ticker, fmt.Sprintf(`{"n":%d,"filler":"%s"}`, i, filler))
	}
	way.Still(false)
	again := events.Expect(t, "subscribed", ticker, 2)
	if !again.WasRecovering {
		t.Errorf("%v", again)
	}
	for i := range 10 {
		for _, room := range []string{ticker, beside} {
			e.publishPatiently(room, fmt.Sprintf(`{"n":%d}`, 1000+i))
		}
	}
	hasAll := func() bool { return e.log.HasLast(events, ticker) && e.log.HasLast(events, beside) }
	if err := events.Wait("all", hasAll, nil); err != nil {
		t.Fatal(err)
	}
	if gaps, err := e.log.Judge(events, ticker); gaps == 0 || err != nil {
		t.Errorf("%d gaps, %v, of %v", gaps, err, events.All())
	}
	if gaps, err := e.log.Judge(events, beside); gaps > 0 || err != nil {
		t.Errorf("beside: %d gaps, %v", gaps, err)
	}
}
