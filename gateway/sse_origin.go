package gateway

import (
	"strings"

	"sluice/wsproto"
)

// A crossOrigin is what the page of another origin is told about reading an answer; empty for
// everybody else.
type crossOrigin string

// judgeReader refuses pages that may not read events, and tells what an allowed one of another
// origin has to be told. A browser sends no Origin with what a page of the same origin asks for,
// nor with an image's or a frame's address, and says by Sec-Fetch-Site which it is. One that says
// nothing may be an old browser, so the host has to be ours in any case.
func (s *Server) judgeReader(r *wsproto.Request) (crossOrigin, *wsproto.Refusal) {
	origin := r.Header("Origin")
	if origin != nil {
		refusal := s.judgePage(origin, r.Host)
		if refusal != nil || !s.config().origins.Lists(origin) {
			return "", refusal
		}
		return crossOriginOf(string(origin), s.config().origins.ListsAll()), nil
	}
	switch site := string(r.Header(fetchSite)); {
	case site != "" && site != sameOrigin && site != "none": // None: it was typed.
		return "", wsproto.Refuse(wsproto.ReasonOrigin)
	case !s.isOwnHost(r.Host):
		return "", wsproto.Refuse(wsproto.ReasonForeignHost)
	}
	return "", nil
}

// crossOriginOf lets a page read the answer. Cookies are for origins that are on the list by name:
// "*" is nobody's name, nor is "null".
func crossOriginOf(origin string, isAny bool) crossOrigin {
	switch {
	case isAny:
		return "Access-Control-Allow-Origin: *\r\n"
	case origin == "null":
		return "Access-Control-Allow-Origin: null\r\nVary: Origin\r\n"
	}
	return crossOrigin("Access-Control-Allow-Origin: " + origin + "\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n")
}

func (o crossOrigin) header() string { return string(o) }

// forPreflight answers what a page asks before it asks with headers of its own, as EventSource does
// not.
func (o crossOrigin) forPreflight() string {
	if o == "" {
		return ""
	}
	return string(o) + "Access-Control-Allow-Methods: GET, HEAD\r\n" +
		"Access-Control-Allow-Headers: Authorization, Cache-Control, Last-Event-ID\r\nAccess-Control-Max-Age: 600\r\n"
}

// on lets the page read why it was refused, too.
func (o crossOrigin) on(r *wsproto.Refusal) *wsproto.Refusal {
	if o == "" || strings.Contains(r.Header, string(o)) {
		return r
	}
	other := *r
	other.Header += string(o)
	return &other
}
