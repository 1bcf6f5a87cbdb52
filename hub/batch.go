package hub

const (
	// batchMembers and batchBytes bound what a transport is handed at once, and so the time between
	// two looks at the clock.
	batchMembers = 16
	batchBytes   = 64 << 10
	// wideMembers and sharedMembers bound wide batches instead: where their branch is all that its
	// loop has to sweep, and where another one waits. A batch of so many takes as long as a slice
	// or two, and as a turn or two.
	wideMembers   = 256
	sharedMembers = 64
)

// A Transport writes what sweeps hand it to clients' sockets. It belongs to one Fanout and is
// called on its loop.
type Transport interface {
	// Send offers each delivery of the batch to its client's socket, and answers for each once by
	// Batch.Answer: before it returns or later on the same loop, in any order. The batch is its own
	// until it has answered for all.
	Send(b *Batch)
}

// An Outcome says what became of a delivery beside the bytes that were taken.
type Outcome uint8

const (
	Taken    Outcome = iota // all of it, or what the kernel had room for: fewer bytes are a refusal
	Refused                 // the kernel takes nothing more at present
	Deferred                // the transport left off by itself: the member gets another turn
	Failed                  // nothing can be written any more: the peer is gone
)

// A Delivery is a contiguous stretch of a log on its way to one client, in the client's turn.
type Delivery struct {
	Client Client // its member may have left its room meanwhile, and it may be closed
	Bytes  []byte // to be written. They are shared and must not be changed
	// IsCopy says that Bytes are of several rooms' logs, and become others when all of the batch
	// are answered for. Bytes of one log stay what they are for whoever holds them.
	IsCopy bool

	handed uint32 // the member's, when it was handed
	member *Member
	upto   int64 // position in the track at which the turn ends
	budget int   // bytes that the turn may take, these included
}

// A Batch is deliveries to at most 16 clients, of 64 KiB in all unless it is one alone. A wide one
// is to at most 256.
type Batch struct {
	Deliveries []Delivery
	// IsWide says that the batch was begun in a round that carries one message at most, and where
	// Fanout.WidenBatches has asked for such.
	IsWide bool

	most       int32 // deliveries that it may come to have
	fan        *Fanout
	bytes      int    // of all deliveries
	copies     []byte // of bundles' deliveries, those of several rooms' bytes
	unanswered int
}

// longTurn is how much a member may take at a time where a frame is longer than a turn: the part of
// Limits.LongTurn that there is time for, nothing where somebody waits.
func (f *Fanout) longTurn() int {
	if !f.isForOne || f.hasQueued() || f.bundles.len() > 0 {
		return 0
	}
	return int(int64(f.hub.limits.LongTurn) * int64(max(0, f.left)) / int64(slice))
}

// hand adds a delivery to the batch that is being filled.
func (f *Fanout) hand(m *Member, bytes []byte, upto int64, budget int) *Delivery {
	k := f.batch
	if k == nil || !k.hasRoom(len(bytes)) {
		k = f.nextBatch()
	}
	f.handings++
	if f.handings == 0 { // Zero is none.
		f.handings++
	}
	m.handed, m.isCalled = f.handings, false
	// In place: a Delivery is large to make and copy, and this is done for each client.
	k.Deliveries = k.Deliveries[:len(k.Deliveries)+1]
	d := &k.Deliveries[len(k.Deliveries)-1]
	d.Client, d.Bytes, d.member = m.client, bytes, m
	d.handed, d.upto, d.budget = m.handed, upto, budget
	k.bytes += len(bytes)
	return d
}

// hasRoom reports whether a delivery of n bytes may be added.
func (k *Batch) hasRoom(n int) bool {
	return len(k.Deliveries) < int(k.most) && (k.bytes == 0 || k.bytes+n <= batchBytes)
}

// nextBatch begins another batch to be filled: a wide one where a round brings one message.
func (f *Fanout) nextBatch() *Batch {
	if f.batch != nil {
		f.batches.push(f.batch)
	}
	k := f.newBatch()
	switch b := f.sweeping; {
	case !f.widens || b == nil || !b.isThin():
		k.most, k.IsWide = batchMembers, false
	case f.hasQueued() || f.bundles.len() > 0:
		k.most, k.IsWide = sharedMembers, true
	default:
		k.most, k.IsWide = wideMembers, true
	}
	f.batch = k
	return k
}

// copy appends bytes to what deliveries of several logs' bytes are made of. There is room: those
// are of batchBytes in all, and where they lie they stay.
func (k *Batch) copy(bytes []byte) {
	if k.copies == nil {
		k.copies = make([]byte, 0, batchBytes)
	}
	k.copies = append(k.copies, bytes...)
}

// isThin reports whether what b's round brings, to members that were caught up, is one message:
// what it costs are the calls then. Nothing was published since it began, or later members would
// get more.
func (b *branch) isThin() bool { return b.round.carriesOne && b.track.end.Load() == b.round.end }

// newBatch is an empty batch, of those that were sent if there are any.
func (f *Fanout) newBatch() *Batch {
	if n := len(f.spareBatches); n > 0 {
		k := f.spareBatches[n-1]
		f.spareBatches = f.spareBatches[:n-1]
		return k
	}
	most := batchMembers
	if f.widens {
		most = wideMembers
	}
	return &Batch{fan: f, Deliveries: make([]Delivery, 0, most)}
}

// afterVisit sends the batches that are full, and looks at the clock now and then.
func (f *Fanout) afterVisit(p *pace) {
	if f.ownSent >= batchBytes {
		f.ownSent = 0
		p.look()
	}
	if k := f.batch; k != nil && (len(k.Deliveries) == int(k.most) || k.bytes >= batchBytes) {
		f.batches.push(k)
		f.batch = nil
	}
	if f.batches.len() == 0 {
		p.visit()
		return
	}
	for f.batches.len() > 0 && p.now < p.deadline {
		f.send(f.batches.pop(), p)
	}
}

// sendAll sends what was handed, and what is handed while turns go on. What it has no time for is
// sent first by the next Flush.
func (f *Fanout) sendAll(p *pace) {
	for f.hasUnsent() && p.now < p.deadline {
		k := f.batch
		if f.batches.len() > 0 {
			k = f.batches.pop()
		} else {
			f.batch = nil
		}
		f.send(k, p)
	}
}

func (f *Fanout) hasUnsent() bool { return f.batch != nil || f.batches.len() > 0 }

func (f *Fanout) send(k *Batch, p *pace) {
	bytes := k.bytes
	k.unanswered = len(k.Deliveries)
	f.sent = k
	f.transport.Send(k)
	f.sent = nil
	p.look()
	f.left = f.ends - p.now
	if bytes <= f.hub.limits.Turn {
		return // As nearly every batch.
	}
	if long := f.longTurn(); 0 < long && long < bytes {
		p.now = f.ends // There is no time for another that is as long, and in the next slice there is.
	}
}
