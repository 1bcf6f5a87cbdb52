package gateway

// An assembly counts what the connections of one loop hold of input that is not finished: messages
// of which parts have come, and what a full room keeps from being decoded. Each loop has its share
// of --assembly-memory, so that nobody waits for another loop's answer; connections are spread
// evenly. Beyond the share the largest is closed, one read late at most. One connection alone is
// never beyond it, see Config.assemblyShare.
type assembly struct {
	limit int // bytes
	held  int
	conns map[*conn]struct{} // those that hold anything
}

// hold notes that c holds n bytes now.
func (a *assembly) hold(c *conn, n int) {
	a.held += n - c.in.held
	if c.in.held = n; n == 0 {
		delete(a.conns, c)
		return
	}
	a.conns[c] = struct{}{}
	for a.held > a.limit {
		a.largest().close(ClosedAssembly)
	}
}

// release gives back what all of them hold, when the loop has ended.
func (a *assembly) release() {
	for c := range a.conns {
		c.dropInput()
	}
}

// largest is the connection that holds most, of several the one with the lowest token: a map's
// order is another each time, and the same input is to have the same outcome. There is one: their
// sum is beyond the limit.
func (a *assembly) largest() (most *conn) {
	for c := range a.conns {
		if most == nil || c.in.held > most.in.held || c.in.held == most.in.held && c.token < most.token {
			most = c
		}
	}
	return most
}
