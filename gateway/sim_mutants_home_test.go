//go:build linux

package gateway

// homeMutants are those of connections that move to their rooms' homes.
var homeMutants = []mutant{
	{"what came behind a head does not move along", 300, []edit{{
		"gateway/home.go", "read:    bytes.Clone(p),", "read:    bytes.Clone(p[:bytes.Index(p, []byte(\"\\r\\n\\r\\n\"))+4]),",
	}}},
	{"a client joins where it was accepted", 300, []edit{{
		"hub/join.go", "home != f && !start.IsHere {", "false && home != f {",
	}}},
	{"a connection that moves is watched by both loops", 300, []edit{{
		"gateway/home.go", "fd, err := w.loop.Detach(c.token)", "fd, err := int(c.fd), error(nil)",
	}}},
	{"a connection that moves is counted out", 300, []edit{{
		"gateway/home.go", "\tw.server.stay(m.key) //", "\t//",
	}}},
	{"a connection that moves is counted twice", 300, []edit{{
		"gateway/home.go", "\tc.past = m.past\n", "\tc.past = m.past\n\tw.stats.Accepted++\n",
	}}},
}
