package centrifuge

import (
	"bytes"
	"encoding/json"
	"strconv"
)

const ping = "{}"

func appendConnect(frame []byte, id uint32) []byte {
	return append(appendHead(frame, id, "connect"), `{"name":"loadtest"}}`...)
}

func appendSubscribe(frame []byte, id uint32, room string, from *Place) []byte {
	frame = append(append(append(appendHead(frame, id, "subscribe"), `{"channel":"`...), room...), '"')
	if from != nil {
		epoch, _ := json.Marshal(from.Epoch) // It can fail for no string.
		frame = append(append(frame, `,"recover":true,"epoch":`...), epoch...)
		frame = strconv.AppendUint(append(frame, `,"offset":`...), from.Offset, 10)
	}
	return append(frame, "}}"...)
}

func appendPublish(frame []byte, id uint32, room string, text []byte) []byte {
	frame = append(append(appendHead(frame, id, "publish"), `{"channel":"`...), room...)
	frame = append(append(frame, `","data":"`...), text...)
	return append(frame, `"}}`...)
}

func appendHead(frame []byte, id uint32, method string) []byte {
	if len(frame) > 0 {
		frame = append(frame, '\n')
	}
	frame = strconv.AppendUint(append(frame, `{"id":`...), uint64(id), 10)
	return append(append(append(frame, `,"`...), method...), `":`...)
}

func next(frame []byte) (object, rest []byte) {
	for len(frame) > 0 {
		object, rest = frame, nil
		if end := bytes.IndexByte(frame, '\n'); end >= 0 {
			object, rest = frame[:end], frame[end+1:]
		}
		if object = bytes.TrimSpace(object); len(object) > 0 {
			return object, rest
		}
		frame = rest
	}
	return nil, nil
}

func parseReply(object []byte) (*Reply, error) {
	r := new(Reply)
	return r, json.Unmarshal(object, r)
}
