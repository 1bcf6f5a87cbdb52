package gateway

import "strings"

const roomNameMax = 128

// isRoomName holds a name to [A-Za-z0-9_.:~-]{1,128}, neither . nor .. : it stands in paths, logs
// and subjects of NATS without being escaped.
func isRoomName(s string) bool {
	if s == "" || len(s) > roomNameMax || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		if !isRoomByte(s[i]) {
			return false
		}
	}
	return true
}

func isRoomByte(b byte) bool {
	isWord := 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
	return isWord || strings.IndexByte("_.:~-", b) >= 0
}
