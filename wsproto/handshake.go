package wsproto

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
)

const (
	keyBytes    = 24 // 16 random bytes in base64
	acceptBytes = 28 // a SHA-1 sum in base64
	acceptGUID  = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// CheckUpgrade judges a parsed request as an opening handshake (RFC 6455 §4.2.1) and sets Key. It
// does not judge the path or the origin. The order of the checks makes the answer the one that
// helps: a request for no upgrade is answered with that first.
func (r *Request) CheckUpgrade() *Refusal {
	if refusal := r.checkMethod(); refusal != nil {
		return refusal
	}
	if !r.fields.hasToken("Upgrade", "websocket") {
		return Refuse(ReasonNoUpgrade)
	}
	if !r.fields.hasToken("Connection", "upgrade") {
		return Refuse(ReasonConnection)
	}
	version, count := r.fields.get("Sec-WebSocket-Version")
	if count != 1 {
		return Refuse(ReasonVersionHeader)
	}
	if string(version) != "13" {
		return Refuse(ReasonVersion)
	}
	key, count := r.fields.get("Sec-WebSocket-Key")
	if count != 1 || !isKey(key) {
		return Refuse(ReasonKey)
	}
	if _, count := r.fields.get("Origin"); count > 1 {
		return Refuse(ReasonHeader)
	}
	r.Key = key
	return nil
}

// checkMethod demands a GET of HTTP/1.1 without a body: bytes of a body would be read as frames.
func (r *Request) checkMethod() *Refusal {
	if string(r.Method) != "GET" {
		return Refuse(ReasonMethod)
	}
	if r.Minor == 0 {
		return Refuse(ReasonHTTPVersion)
	}
	// A length of zero is no body (RFC 9112 §6.3): clients that put one on every request are many.
	length, lengths := r.fields.get("Content-Length")
	_, codings := r.fields.get("Transfer-Encoding")
	if codings > 0 || lengths > 1 || lengths == 1 && string(length) != "0" {
		return Refuse(ReasonBody)
	}
	return nil
}

// isKey reports whether key is 16 bytes in base64.
func isKey(key []byte) bool {
	var nonce [keyBytes]byte
	if len(key) != keyBytes {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], key)
	return err == nil && n == 16
}

// Subprotocols yields the protocols the client offers in its order of preference; it is an
// iter.Seq. They are the client's words: compare them, never send them back.
func (r *Request) Subprotocols(yield func([]byte) bool) {
	for i := range r.fields {
		if !equalFold(r.fields[i].name, "Sec-WebSocket-Protocol") {
			continue
		}
		for list := r.fields[i].value; len(list) > 0; {
			var protocol []byte
			if protocol, list = cutElement(list); len(protocol) > 0 && !yield(protocol) {
				return
			}
		}
	}
}

// IsSubprotocol reports whether a subprotocol can have this name (RFC 6455 §4.1 item 10).
func IsSubprotocol(name string) bool { return isToken([]byte(name)) }

// AppendSwitchingProtocols appends the 101 response to a request whose Key is key. protocol is the
// subprotocol chosen from those offered, extensions the answer that CheckDeflate gives; empty for
// none. Frames may follow at once.
func AppendSwitchingProtocols(dst, key []byte, protocol, extensions string) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = appendAccept(dst, key)
	if protocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, protocol...)
	}
	if extensions != "" {
		dst = append(dst, "\r\nSec-WebSocket-Extensions: "...)
		dst = append(dst, extensions...)
	}
	return append(dst, "\r\n\r\n"...)
}

// appendAccept appends the proof that the key was understood (RFC 6455 §4.2.2 item 5.4).
func appendAccept[K []byte | string](dst []byte, key K) []byte {
	var proof [keyBytes + len(acceptGUID)]byte
	n := copy(proof[:], key)
	n += copy(proof[n:], acceptGUID)
	sum := sha1.Sum(proof[:n])
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// AppendClientHandshake appends the request of a client. path is a request target; key is 16 random
// bytes in base64; lines are further headers without line ends, such as "Origin: http://localhost".
func AppendClientHandshake(dst []byte, host, path, key string, lines ...string) []byte {
	dst = fmt.Appendf(dst, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", path, host, key)
	for _, line := range lines {
		dst = append(dst, line...)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// DeflateOffer is the header line by which a client offers permessage-deflate, for
// AppendClientHandshake.
const DeflateOffer = "Sec-WebSocket-Extensions: " + deflateAnswer

// CheckServerHandshake judges the head of the response to AppendClientHandshake with this key;
// HeadEnd finds its end. offeredDeflate says that DeflateOffer was among the lines, deflate that
// the server agreed. A server that did not upgrade is quoted with its status line.
func CheckServerHandshake(head []byte, key string, offeredDeflate bool) (deflate bool, err error) {
	status, block, ok := cutLine(head)
	if !ok {
		return false, errors.New("handshake: response has no status line")
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 101 ")) {
		return false, fmt.Errorf("handshake: server answered %q", status)
	}
	var f fields
	if !bytes.HasSuffix(block, []byte("\r\n")) || f.parse(block[:len(block)-2]) != nil {
		return false, errors.New("handshake: response headers are malformed")
	}
	if !f.hasToken("Upgrade", "websocket") || !f.hasToken("Connection", "upgrade") {
		return false, errors.New("handshake: response does not upgrade to websocket")
	}
	var want [acceptBytes]byte
	accept, count := f.get("Sec-WebSocket-Accept")
	if count != 1 || !bytes.Equal(accept, appendAccept(want[:0], key)) {
		return false, errors.New("handshake: Sec-WebSocket-Accept is wrong")
	}
	deflate, fault := f.checkDeflateAnswer(offeredDeflate)
	if fault != "" {
		return false, errors.New("handshake: " + fault)
	}
	return deflate, nil
}
