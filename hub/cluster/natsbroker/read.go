package natsbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"sluice/hub/cluster"
)

const (
	apiDirectGet = "$JS.API.DIRECT.GET." // any server that has the stream answers
	apiGet       = "$JS.API.STREAM.MSG.GET."
)

// Headers of answers to direct gets that nats.go has no names for.
const (
	numPending = "Nats-Num-Pending"
	upToSeq    = "Nats-UpTo-Sequence"
)

// A getRequest is JetStream's, with as much of it as we ask.
type getRequest struct {
	Seq       uint64   `json:"seq,omitempty"`
	Next      string   `json:"next_by_subj,omitempty"`
	Batch     int      `json:"batch,omitempty"`
	MaxBytes  int      `json:"max_bytes,omitempty"`
	MultiLast []string `json:"multi_last,omitempty"`
	UpToSeq   uint64   `json:"up_to_seq,omitempty"`
	LastBy    string   `json:"last_by_subj,omitempty"`
}

// errTorn is of an answer of which a part was lost on its way.
var errTorn = errors.New("a part of the NATS server's answer is missing")

// After implements cluster.Broker.
func (n *Broker) After(ctx context.Context, room string, from uint64, limit, bytes int) (kept []cluster.Stored, hasMore bool, err error) {
	answer, err := n.get(ctx, getRequest{
		Seq: max(from, 1), Next: subject(subjectIn, room, shards), Batch: limit, MaxBytes: bytes,
	})
	return answer.all, answer.pending > 0, err
}

// lastBytes bounds one answer to Last. More of them are asked for until all rooms are answered.
const lastBytes = 4 << 20

// Last implements cluster.Broker.
func (n *Broker) Last(ctx context.Context, rooms []string, from uint64) (last []cluster.Stored, upTo uint64, err error) {
	subjects := make([]string, len(rooms))
	for i, room := range rooms {
		subjects[i] = subject(subjectIn, room, shards)
	}
	for {
		answer, err := n.get(ctx, getRequest{MultiLast: subjects, Seq: from, UpToSeq: upTo, MaxBytes: lastBytes})
		if err != nil {
			return nil, 0, err
		}
		for _, s := range answer.all {
			s.Pack = nil
			last = append(last, s)
		}
		upTo = max(upTo, answer.upTo)
		if answer.pending == 0 || len(answer.all) == 0 {
			return last, upTo, nil
		}
		from = last[len(last)-1].Seq + 1
	}
}

// A got is the whole answer to a direct get.
type got struct {
	all     []cluster.Stored
	pending uint64 // how many more the stream has of what was asked for
	upTo    uint64
}

// get asks for several messages. Each names the one before it in the answer, so none is lost
// unseen.
func (n *Broker) get(ctx context.Context, r getRequest) (answer got, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return got{}, err
	}
	inbox := n.nc.NewInbox()
	sub, err := n.nc.SubscribeSync(inbox)
	if err != nil {
		return got{}, err
	}
	defer sub.Unsubscribe()
	if err := n.nc.PublishRequest(apiDirectGet+streamName, inbox, body); err != nil {
		return got{}, err
	}
	for before := uint64(0); ; {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return got{}, fmt.Errorf("asking %s: %w", streamName, err)
		}
		if status := m.Header.Get("Status"); len(m.Data) == 0 && status != "" {
			return answer, answer.end(m, status, before)
		}
		s, err := fetched(m)
		if err != nil {
			return got{}, err
		}
		if prev, _ := number(m, jetstream.LastSequenceHeader); prev != before {
			return got{}, errTorn
		}
		before = s.Seq
		answer.all = append(answer.all, s)
	}
}

// end reads the message behind the last one, which has a status.
func (g *got) end(m *nats.Msg, status string, before uint64) error {
	switch status {
	case "204": // the end of the batch
		if end, _ := number(m, jetstream.LastSequenceHeader); end != before {
			return errTorn
		}
		g.pending, _ = number(m, numPending)
		g.upTo, _ = number(m, upToSeq)
		return nil
	case "404":
		return nil
	case "503":
		return fmt.Errorf("asking %s: %w", streamName, jetstream.ErrNoStreamResponse)
	}
	return fmt.Errorf("asking %s: status %s %s", streamName, status, m.Header.Get("Description"))
}

// fetched reads a message of an answer, which names the subject it was stored under.
func fetched(m *nats.Msg) (cluster.Stored, error) {
	s, err := stored(m)
	if err != nil {
		return s, err
	}
	if s.Room = roomOf(subjectIn, last(m, jetstream.SubjectHeader)); s.Room == "" {
		return s, fmt.Errorf("%w: no room's subject", errMalformed)
	}
	return s, nil
}

// errMalformed is of a message that the stream cannot have sent.
var errMalformed = errors.New("malformed")

// stored reads what a republished and a fetched message have in common. A publisher's own headers
// come before the stream's, so the last one of a name is the stream's; of ids the stream goes by
// the first.
func stored(m *nats.Msg) (s cluster.Stored, err error) {
	if last(m, jetstream.StreamHeader) != streamName {
		return s, fmt.Errorf("%w: not of this stream", errMalformed)
	}
	seq, ok := number(m, jetstream.SequenceHeader)
	if !ok || seq == 0 {
		return s, fmt.Errorf("%w: no sequence", errMalformed)
	}
	at, err := time.Parse(time.RFC3339Nano, last(m, jetstream.TimeStampHeaer))
	if err != nil {
		return s, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return cluster.Stored{Seq: seq, ID: m.Header.Get(jetstream.MsgIDHeader), Time: at.UnixNano(), Pack: m.Data}, nil
}

func last(m *nats.Msg, header string) string {
	all := m.Header[header]
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

func number(m *nats.Msg, header string) (uint64, bool) {
	v, err := strconv.ParseUint(last(m, header), 10, 64)
	return v, err == nil
}

// A leaderAnswer is what a stream's leader says of one message.
type leaderAnswer struct {
	Error   *jetstream.APIError `json:"error"`
	Message *struct {
		Subject string    `json:"subject"`
		Seq     uint64    `json:"seq"`
		Header  []byte    `json:"hdrs"`
		Data    []byte    `json:"data"`
		Time    time.Time `json:"time"`
	} `json:"message"`
}

// askLeader asks a stream for one message, past those of its servers that may lag behind.
func (n *Broker) askLeader(ctx context.Context, stream string, r getRequest) (a leaderAnswer, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	m, err := n.nc.RequestWithContext(ctx, apiGet+stream, body)
	if err == nil {
		err = json.Unmarshal(m.Data, &a)
	}
	switch {
	case err != nil:
		return a, fmt.Errorf("asking the leader of %s: %w", stream, err)
	case a.Error != nil && a.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return a, cluster.ErrNotFound
	case a.Error != nil:
		return a, fmt.Errorf("asking the leader of %s: %w", stream, a.Error)
	case a.Message == nil:
		return a, fmt.Errorf("asking the leader of %s: %w", stream, errMalformed)
	}
	return a, nil
}

// At implements cluster.Broker.
func (n *Broker) At(ctx context.Context, seq uint64) (cluster.Stored, error) {
	return n.one(ctx, getRequest{Seq: seq})
}

// Tail implements cluster.Broker.
func (n *Broker) Tail(ctx context.Context, room string) (cluster.Stored, error) {
	return n.one(ctx, getRequest{LastBy: subject(subjectIn, room, shards)})
}

// one asks the leader for one message, and leaves its pack.
func (n *Broker) one(ctx context.Context, r getRequest) (cluster.Stored, error) {
	a, err := n.askLeader(ctx, streamName, r)
	if err != nil {
		return cluster.Stored{}, err
	}
	m := a.Message
	s := cluster.Stored{Room: roomOf(subjectIn, m.Subject), Seq: m.Seq, Time: m.Time.UnixNano()}
	if len(m.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(m.Header)
		if err != nil {
			return cluster.Stored{}, fmt.Errorf("%w: %w", errMalformed, err)
		}
		s.ID = h.Get(jetstream.MsgIDHeader)
	}
	return s, nil
}

// storedHead is more than a stream takes for a message beside its headers and its pack.
const storedHead = 1 << 10

// State implements cluster.Broker.
func (n *Broker) State(ctx context.Context) (cluster.State, error) {
	s, err := n.js.Stream(ctx, streamName)
	if err != nil {
		return cluster.State{}, fmt.Errorf("asking %s: %w", streamName, err)
	}
	info := s.CachedInfo()
	is, bytesMax := info.State, info.Config.MaxBytes
	state := cluster.State{First: is.FirstSeq, Last: is.LastSeq, IsFull: bytesMax > 0 && is.Bytes >= uint64(bytesMax)/2}
	largest := int64(info.Config.MaxMsgSize)
	if largest <= 0 {
		largest = n.nc.MaxPayload()
	}
	state.Free = uint64(max(bytesMax-int64(is.Bytes), 0) / (largest + storedHead))
	if is.Msgs == 0 { // A new stream would have zeros.
		state.First = state.Last + 1
	}
	return state, nil
}

// Purge implements cluster.Broker.
func (n *Broker) Purge(ctx context.Context, room string, before uint64) error {
	s, err := n.js.Stream(ctx, streamName)
	if err == nil {
		err = s.Purge(ctx, jetstream.WithPurgeSubject(subject(subjectIn, room, shards)), jetstream.WithPurgeSequence(before))
	}
	if err != nil {
		return fmt.Errorf("purging %s of a room: %w", streamName, err)
	}
	return nil
}
