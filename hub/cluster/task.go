package cluster

import "context"

// A task is requests that wait. It is carried out by a worker, and must touch nothing of the
// node's; what it returns is called by the node's goroutine.
type task func(*requests) (answer func())

// fetchMessages is how many of the stream are fetched at a time.
const fetchMessages = 256

// requests make requests to a broker, each within its time.
type requests struct {
	broker Broker
	ctx    context.Context
	o      Options
}

func (q *requests) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(q.ctx, q.o.RequestTimeout)
}

func (q *requests) prepare() error {
	ctx, cancel := context.WithTimeout(q.ctx, 5*q.o.RequestTimeout)
	defer cancel()
	return q.broker.Prepare(ctx)
}

func (q *requests) subscribe(room string) error {
	ctx, cancel := q.within()
	defer cancel()
	return q.broker.Subscribe(ctx, room)
}

func (q *requests) after(room string, from uint64) ([]Stored, bool, error) {
	ctx, cancel := q.within()
	defer cancel()
	return q.broker.After(ctx, room, from, fetchMessages, q.o.FetchBytesMax)
}

func (q *requests) last(rooms []string, from uint64) ([]Stored, uint64, error) {
	ctx, cancel := q.within()
	defer cancel()
	return q.broker.Last(ctx, rooms, from)
}

func (q *requests) tail(room string) (Stored, error) {
	ctx, cancel := q.within()
	defer cancel()
	return q.broker.Tail(ctx, room)
}

func (q *requests) at(seq uint64) (Stored, error) {
	ctx, cancel := q.within()
	defer cancel()
	return q.broker.At(ctx, seq)
}

func (q *requests) state() (State, error) {
	ctx, cancel := q.within()
	defer cancel()
	return q.broker.State(ctx)
}

func (q *requests) epoch() (Epoch, uint64, error) {
	ctx, cancel := q.within()
	defer cancel()
	return q.broker.Epoch(ctx)
}

func (q *requests) setEpoch(e Epoch, revision uint64) error {
	ctx, cancel := q.within()
	defer cancel()
	return q.broker.SetEpoch(ctx, e, revision)
}
