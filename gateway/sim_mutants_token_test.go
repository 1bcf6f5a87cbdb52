//go:build linux

package gateway

// tokenMutants are those of tokens that expire, and of who asks who is in a room.
var tokenMutants = []mutant{
	{"another token is answered and not gone by", 100, []edit{{
		"gateway/refresh.go", "\ts.become(who)\n", "",
	}}},
	{"a token that is over ends nothing", 100, []edit{{
		"gateway/expiry.go", "return m != nil && m.expires != 0 && (", "return m != nil && m.expires < 0 && (",
	}}},
	{"there is no time to bring another token", 100, []edit{{
		"gateway/expiry.go", "who.Expires + int64((s.w.cfg.expiryGrace+time.Second-1)/time.Second)", "who.Expires",
	}}},
	{"somebody else's token is gone by", 100, []edit{{
		"gateway/refresh.go", "case who.Subject != s.principal().Subject:", "case who == nil:",
	}}},
	{"a token is told to be good for longer than it is", 100, []edit{{
		"gateway/expiry.go", "max(1, expires-s.w.cfg.wallClock()/1000)", "max(1, 1+expires-s.w.cfg.wallClock()/1000)",
	}}},
	{"one who is in a room is left out of the answer", 100, []edit{{
		"gateway/client_presence.go", "range all {", "range all[min(1, len(all)):] {",
	}}},
	{"users are told as clients", 100, []edit{{
		"gateway/client_presence.go", "NumClients: uint32(there.Members)", "NumClients: uint32(there.Users)",
	}}},
}
