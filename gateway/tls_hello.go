package gateway

import "sluice/wsproto"

// refusedPlain answers HTTP where TLS is spoken.
var refusedPlain = explain(wsproto.ReasonNotHTTP, "This port speaks TLS: connect to wss:// or https://.")

// A helloState is what a connection has begun with, as far as that has come.
type helloState uint8

const (
	helloPart  helloState = iota // of a ClientHello; more is to come
	helloWhole                   // crypto/tls needs no more to say yes or no
	helloHTTP                    // it begins as a request does
	helloNone                    // neither
)

// judgeHello says how far p, what a connection began with, is a ClientHello: one handshake message
// in one record or more (RFC 8446 §5.1). What is malformed inside is for crypto/tls to find.
func judgeHello(p []byte) helloState {
	switch {
	case p[0] != tlsHandshake && 'A' <= p[0] && p[0] <= 'Z':
		return helloHTTP
	case p[0] != tlsHandshake, len(p) > 1 && p[1] != 3:
		return helloNone
	}
	const recordHeader, messageHeader, typeHello = 5, 4, 1
	var head [messageHeader]byte
	have, need := 0, messageHeader
	for len(p) >= recordHeader {
		n := int(p[3])<<8 | int(p[4])
		if p[0] != tlsHandshake || n == 0 || n > recordMax {
			return helloWhole // It is sure to be refused, with the right alert.
		}
		body := p[recordHeader:min(len(p), recordHeader+n)]
		if have < messageHeader {
			copy(head[have:], body)
		}
		have += len(body)
		if have >= messageHeader {
			if head[0] != typeHello {
				return helloWhole
			}
			need = messageHeader + int(head[1])<<16 + int(head[2])<<8 + int(head[3])
		}
		if have >= need {
			return helloWhole
		}
		p = p[min(len(p), recordHeader+n):]
	}
	return helloPart
}
