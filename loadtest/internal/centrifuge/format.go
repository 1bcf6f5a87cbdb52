package centrifuge

// A Format is a way to write the protocol: objects of JSON, with a line end between them, in text
// messages; or protobuf, each with its length before it, in binary ones.
type Format uint8

const (
	JSON Format = iota
	Protobuf
)

// AppendConnect appends the first command of a connection to a frame.
func (f Format) AppendConnect(frame []byte, id uint32) []byte {
	if f == Protobuf {
		return appendProtobufConnect(frame, id)
	}
	return appendConnect(frame, id)
}

// AppendSubscribe appends a command that subscribes to a room, which needs no escapes: behind from,
// or at the room's end if that is nil.
func (f Format) AppendSubscribe(frame []byte, id uint32, room string, from *Place) []byte {
	if f == Protobuf {
		return appendProtobufSubscribe(frame, id, room, from)
	}
	return appendSubscribe(frame, id, room, from)
}

// AppendPublish appends a command that publishes a text, which needs no escapes either.
func (f Format) AppendPublish(frame []byte, id uint32, room string, text []byte) []byte {
	if f == Protobuf {
		return appendProtobufPublish(frame, id, room, text)
	}
	return appendPublish(frame, id, room, text)
}

// Pong is a frame that answers a ping.
func (f Format) Pong() []byte {
	if f == Protobuf {
		return []byte{0}
	}
	return []byte(ping)
}

// IsPing says that an object of a frame is a ping.
func (f Format) IsPing(object []byte) bool {
	if f == Protobuf {
		return len(object) == 0
	}
	return string(object) == ping
}

// Next cuts the first object off a frame. Object is nil at its end. What cannot be cut comes as one
// object, of which ParseReply says what is wrong with it.
func (f Format) Next(frame []byte) (object, rest []byte) {
	if f == Protobuf {
		return nextProtobuf(frame)
	}
	return next(frame)
}

// ParsePublication reads a push of a publication without allocating anything. What it does not
// understand, be it another reply or one with escapes, is no publication to it: ParseReply may read
// it.
func (f Format) ParsePublication(object []byte) (room []byte, p Publication, isPublication bool) {
	if f == Protobuf {
		return parseProtobufPublication(object)
	}
	return parsePublication(object)
}

// ParseReply reads anything that a server sends but a ping.
func (f Format) ParseReply(object []byte) (*Reply, error) {
	if f == Protobuf {
		return parseProtobufReply(object)
	}
	return parseReply(object)
}
