package gateway

import (
	"bytes"
	"net/url"
	"strings"

	"sluice/wsproto"
)

// A token comes in one of these ways. None of them is ever logged or answered:
//
//	Authorization: Bearer TOKEN                    programs
//	/ws/{room}?token=TOKEN                         pages: new WebSocket(url) sets no header
//	Sec-WebSocket-Protocol: bearer, TOKEN          pages, not in the address; answered with bearer
//	the cookie that Options.AuthCookie names       pages that have logged in; if there is no other
//
// A cookie is sent by the browser whether its page means it or not. So it counts only of pages that
// may connect: they send an Origin, which was judged, or say that they are of the same origin.
const (
	tokenKey      = "token"
	bearer        = "bearer"
	bearerScheme  = "Bearer "
	sameOrigin    = "same-origin"
	fetchSite     = "Sec-Fetch-Site"
	authorization = "Authorization"
)

var (
	refusedManyTokens = explain(wsproto.ReasonUnauthorized,
		"There are several tokens in this request: send one, in one way.")
	refusedCookie = explain(wsproto.ReasonUnauthorized,
		"A token is needed: the cookie counts only of a browser's page, which sends an Origin.")
)

// tokenOf finds the token of a request whose page was judged; empty if none came.
func (c *config) tokenOf(r *wsproto.Request) (token string, refusal *wsproto.Refusal) {
	isOne := true
	found := func(one string) {
		isOne = isOne && (token == "" || one == token)
		token = one
	}
	for value := range r.Each(authorization) {
		if len(value) > len(bearerScheme) && strings.EqualFold(string(value[:len(bearerScheme)]), bearerScheme) {
			found(strings.TrimLeft(string(value[len(bearerScheme):]), " "))
		}
	}
	for value := range queryValues(r.Query, tokenKey) {
		if value != "" {
			found(value)
		}
	}
	if one := offeredToken(r); one != "" {
		found(one)
	}
	if token == "" && c.AuthCookie != "" {
		for value := range cookies(r, c.AuthCookie) {
			found(value)
		}
		if token != "" && !isOwnPage(r) {
			return "", refusedCookie
		}
	}
	if !isOne {
		return "", refusedManyTokens
	}
	return token, nil
}

// queryValues yields the values of a key in what stands behind a path, empty ones for those that
// cannot be decoded; it makes an iter.Seq.
func queryValues(query []byte, key string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for pair := range strings.SplitSeq(string(query), "&") {
			k, v, _ := strings.Cut(pair, "=")
			if k, err := url.QueryUnescape(k); err != nil || k != key {
				continue
			}
			if v, _ := url.QueryUnescape(v); !yield(v) {
				return
			}
		}
	}
}

// offeredToken is the subprotocol behind the one called bearer; empty if there is none.
func offeredToken(r *wsproto.Request) string {
	isNext := false
	for offered := range r.Subprotocols {
		if isNext {
			return string(offered)
		}
		isNext = string(offered) == bearer
	}
	return ""
}

// cookies yields the values that a request has for a cookie; it makes an iter.Seq.
func cookies(r *wsproto.Request, name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range r.Each("Cookie") {
			for pair := range bytes.SplitSeq(line, []byte{';'}) {
				k, v, _ := bytes.Cut(bytes.TrimSpace(pair), []byte{'='})
				if string(k) != name {
					continue
				}
				if v = bytes.Trim(v, `"`); len(v) > 0 && !yield(string(v)) {
					return
				}
			}
		}
	}
}

// isOwnPage reports whether a request comes from a browser's page that may connect. judgePage has
// let it pass, so one with an Origin may.
func isOwnPage(r *wsproto.Request) bool {
	return r.Header("Origin") != nil || string(r.Header(fetchSite)) == sameOrigin
}

// readsCookies reports whether a browser can prove who it is by sending a cookie.
func (c *config) readsCookies() bool {
	if c.AuthCookie != "" {
		return true
	}
	if c.Auth != nil {
		for _, name := range c.Auth.Headers() {
			if strings.EqualFold(name, "Cookie") {
				return true
			}
		}
	}
	return false
}

// subprotocol is the first that a client offers and Options.Subprotocols has; else bearer, if it
// has a token that way; empty for none.
func (c *config) subprotocol(r *wsproto.Request) string {
	if len(c.Subprotocols) == 0 && c.Auth == nil {
		return ""
	}
	answer, isToken := "", false
	for offered := range r.Subprotocols {
		if isToken { // Whatever it may resemble.
			isToken = false
			continue
		}
		for _, ours := range c.Subprotocols {
			if string(offered) == ours {
				return ours
			}
		}
		if c.Auth != nil && string(offered) == bearer {
			answer, isToken = bearer, true
		}
	}
	return answer
}
