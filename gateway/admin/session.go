package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"
)

const (
	sessionCookie = "sluice_session"
	// sessionTime is how long the live page stays logged in.
	sessionTime = 12 * time.Hour
	loginMax    = 4 << 10 // bytes of a login form
)

// Sessions let a browser in that has shown a key once. One is the time of its end, signed with a
// secret of this program's start and with the key, so there is none to keep, and without the key
// there is none. It is good for the live page and what that reads, and for nothing that changes
// anything: cookies go to every port of this host, and so to other programs.
type sessions struct {
	secret [32]byte
	now    func() time.Duration
}

func newSessions(now func() time.Duration) *sessions {
	s := &sessions{now: now}
	_, _ = rand.Read(s.secret[:]) // It does not fail.
	return s
}

// open is a new session's cookie, for whoever has shown the key.
func (s *sessions) open(k *Key, isTLS bool) *http.Cookie {
	end := binary.BigEndian.AppendUint64(nil, uint64(s.now()+sessionTime))
	return sessionOf(base64.RawURLEncoding.EncodeToString(append(end, s.sign(end, k)...)), int(sessionTime.Seconds()), isTLS)
}

// over is the cookie that ends a session in its browser.
func (s *sessions) over(isTLS bool) *http.Cookie { return sessionOf("", -1, isTLS) }

func sessionOf(value string, maxAge int, isTLS bool) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, MaxAge: maxAge, Path: "/",
		HttpOnly: true, Secure: isTLS, SameSite: http.SameSiteStrictMode,
	}
}

// has reports whether the request comes from a session that one of the keys has opened and that
// goes on.
func (s *sessions) has(r *http.Request, keys *Keys) bool {
	for _, c := range r.CookiesNamed(sessionCookie) { // Another program of this host may have set one, too.
		value, err := base64.RawURLEncoding.DecodeString(c.Value)
		if err != nil || len(value) != 8+sha256.Size {
			continue
		}
		end, sum := value[:8], value[8:]
		if s.now() >= time.Duration(binary.BigEndian.Uint64(end)) {
			continue
		}
		for _, k := range keys.list {
			if k.isForAll() && hmac.Equal(sum, s.sign(end, k)) {
				return true
			}
		}
	}
	return false
}

func (s *sessions) sign(end []byte, k *Key) []byte {
	h := hmac.New(sha256.New, s.secret[:])
	h.Write(end)
	h.Write(k.digest[:])
	return h.Sum(nil)
}
