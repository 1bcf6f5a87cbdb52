package centrifuge

import (
	"encoding/binary"
	"encoding/json"

	"github.com/centrifugal/protocol"
	"google.golang.org/protobuf/encoding/protowire"
)

func appendProtobufConnect(frame []byte, id uint32) []byte {
	return appendCommand(frame, &protocol.Command{Id: id, Connect: &protocol.ConnectRequest{Name: "loadtest"}})
}

func appendProtobufSubscribe(frame []byte, id uint32, room string, from *Place) []byte {
	ask := &protocol.SubscribeRequest{Channel: room}
	if from != nil {
		ask.Recover, ask.Epoch, ask.Offset = true, from.Epoch, from.Offset
	}
	return appendCommand(frame, &protocol.Command{Id: id, Subscribe: ask})
}

func appendProtobufPublish(frame []byte, id uint32, room string, text []byte) []byte {
	return appendCommand(frame, &protocol.Command{Id: id, Publish: &protocol.PublishRequest{Channel: room, Data: text}})
}

func appendCommand(frame []byte, c *protocol.Command) []byte {
	body, err := c.MarshalCF()
	if err != nil {
		panic(err) // It is of nothing that could not be written.
	}
	return append(binary.AppendUvarint(frame, uint64(len(body))), body...)
}

func nextProtobuf(frame []byte) (object, rest []byte) {
	if len(frame) == 0 {
		return nil, nil
	}
	size, n := binary.Uvarint(frame)
	if n <= 0 || size > uint64(len(frame)-n) {
		return cutOff, nil
	}
	return frame[n : n+int(size) : n+int(size)], frame[n+int(size):]
}

// cutOff stands for what is shorter than it says: no reply is like it.
var cutOff = []byte{0xff}

// Field numbers of client.proto.
const (
	replyPush   protowire.Number = 4
	pushChannel protowire.Number = 2
	pushPub     protowire.Number = 4
	pubData     protowire.Number = 4
	pubOffset   protowire.Number = 6
)

func parseProtobufPublication(object []byte) (room []byte, p Publication, isPublication bool) {
	isPublication = eachField(object, func(n protowire.Number, push []byte, _ uint64) bool {
		return n == replyPush && eachField(push, func(n protowire.Number, value []byte, _ uint64) bool {
			switch n {
			case pushChannel:
				room = value
			case pushPub:
				return eachField(value, func(n protowire.Number, value []byte, number uint64) bool {
					switch n {
					case pubData:
						p.Data = value
					case pubOffset:
						p.Offset = number
					}
					return true
				})
			default:
				return false
			}
			return true
		})
	})
	return room, p, isPublication && room != nil && p.Data != nil
}

// eachField calls yield with each field of a message, until that returns false, and reports whether
// all went well: value is of one with a length, number of one that is a varint.
func eachField(message []byte, yield func(n protowire.Number, value []byte, number uint64) bool) bool {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		message = message[n:]
		var value []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
		}
		if n < 0 || !yield(field, value, number) {
			return false
		}
		message = message[n:]
	}
	return true
}

func parseProtobufReply(object []byte) (*Reply, error) {
	r := new(protocol.Reply)
	if err := r.UnmarshalCF(object); err != nil {
		return nil, err
	}
	reply := &Reply{ID: r.Id}
	if e := r.Error; e != nil {
		reply.Error = &Error{e.Code, e.Message, e.Temporary}
	}
	if c := r.Connect; c != nil {
		reply.Connect = &Connect{c.Pong}
	}
	if s := r.Subscribe; s != nil {
		reply.Subscribe = &Subscribe{s.Recoverable, s.Recovered, s.WasRecovering, s.Epoch, s.Offset, nil}
		for _, p := range s.Publications {
			reply.Subscribe.Publications = append(reply.Subscribe.Publications, publicationOf(p))
		}
	}
	if p := r.Push; p != nil {
		reply.Push = pushOf(p)
	}
	return reply, nil
}

func publicationOf(p *protocol.Publication) Publication {
	return Publication{Data: json.RawMessage(p.Data), Offset: p.Offset}
}

func pushOf(p *protocol.Push) *Push {
	push := &Push{Channel: p.Channel}
	if p.Pub != nil {
		one := publicationOf(p.Pub)
		push.Pub = &one
	}
	if e := p.Unsubscribe; e != nil {
		push.Unsubscribe = &Ending{e.Code, e.Reason}
	}
	if e := p.Disconnect; e != nil {
		push.Disconnect = &Ending{e.Code, e.Reason}
	}
	return push
}
