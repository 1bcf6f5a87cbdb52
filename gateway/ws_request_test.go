package gateway

import "strings"

// sampleKey and sampleAccept are the pair that RFC 6455 §1.3 works out.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// upgradeHead is a minimal opening handshake for path, with further header lines.
func upgradeHead(path string, lines ...string) []byte {
	return requestHead("GET "+path+" HTTP/1.1", append([]string{
		"Host: sluice.test",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: " + sampleKey,
	}, lines...)...)
}

func requestHead(line string, headers ...string) []byte {
	return []byte(line + "\r\n" + strings.Join(append(headers, "", ""), "\r\n"))
}

func plainGet(path string, headers ...string) []byte {
	return requestHead("GET "+path+" HTTP/1.1", append([]string{"Host: sluice.test"}, headers...)...)
}
