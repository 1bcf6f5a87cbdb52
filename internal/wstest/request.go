package wstest

import "strings"

// SampleKey and SampleAccept are the pair that RFC 6455 §1.3 works out.
const (
	SampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	SampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// UpgradeHead is a minimal opening handshake for path, with further header lines.
func UpgradeHead(path string, lines ...string) []byte {
	return RequestHead("GET "+path+" HTTP/1.1", append([]string{
		"Host: sluice.test",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: " + SampleKey,
	}, lines...)...)
}

// RequestHead is an HTTP request without a body.
func RequestHead(line string, headers ...string) []byte {
	return []byte(line + "\r\n" + strings.Join(append(headers, "", ""), "\r\n"))
}

// PlainGet is a request for a page.
func PlainGet(path string, headers ...string) []byte {
	return RequestHead("GET "+path+" HTTP/1.1", append([]string{"Host: sluice.test"}, headers...)...)
}
