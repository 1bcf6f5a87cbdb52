package centrifuge

import (
	"fmt"

	"github.com/centrifugal/protocol"
)

// InfoMax bounds an Info, in bytes.
const InfoMax = 8 << 10

// An Info is who published a message, in the few bytes that each of a room's messages can carry: a
// protocol.ClientInfo in protobuf. The empty one is nobody.
type Info string

// The fields of protocol.ClientInfo, all of them byte strings.
const (
	infoUser = 1 + iota
	infoClient
	infoConn
	infoChan
)

// PackInfo packs an info, whose ConnInfo and ChanInfo are JSON: it is made once for a client and
// room. The error says that it is larger than InfoMax.
func PackInfo(info *protocol.ClientInfo) (Info, error) {
	packed := protocol.ClientInfo{User: info.User, Client: info.Client, ConnInfo: asValue(info.ConnInfo), ChanInfo: asValue(info.ChanInfo)}
	if n := packed.SizeCF(); n > InfoMax {
		return "", fmt.Errorf("the info of a client is of %d bytes, more than %d", n, InfoMax)
	}
	b, err := packed.MarshalCF()
	return Info(b), err
}

// asValue bounds a value in JSON as that of a message.
func asValue(raw protocol.Raw) protocol.Raw {
	if len(raw) == 0 {
		return nil
	}
	value, _ := AppendData(nil, Value, raw)
	return value
}

// ClientInfo unpacks an info: nil if it is empty.
func (i Info) ClientInfo() *protocol.ClientInfo {
	if i == "" {
		return nil
	}
	info := new(protocol.ClientInfo)
	for field, value := range i.fields {
		switch field {
		case infoUser:
			info.User = value
		case infoClient:
			info.Client = value
		case infoConn:
			info.ConnInfo = protocol.Raw(value)
		case infoChan:
			info.ChanInfo = protocol.Raw(value)
		}
	}
	return info
}

// appendJSON appends an info as an object.
func (i Info) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for field, value := range i.fields {
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		switch field {
		case infoUser:
			dst = appendString(append(dst, `"user":`...), value)
		case infoClient:
			dst = appendString(append(dst, `"client":`...), value)
		case infoConn:
			dst = append(append(dst, `"conn_info":`...), value...)
		case infoChan:
			dst = append(append(dst, `"chan_info":`...), value...)
		}
	}
	return append(dst, '}')
}

// fields yields the fields, none behind a byte that PackInfo has not written.
func (i Info) fields(yield func(field int, value string) bool) {
	for len(i) > 1 {
		field, size, head := int(i[0]>>3), int(i[1]&0x7f), 2
		if i[1] > 0x7f { // A length is at most InfoMax, which two bytes hold.
			if len(i) < 3 {
				return
			}
			size, head = size|int(i[2])<<7, 3
		}
		if i[0]&7 != 2 || field < infoUser || field > infoChan || size > len(i)-head || !yield(field, string(i[head:head+size])) {
			return
		}
		i = i[head+size:]
	}
}
