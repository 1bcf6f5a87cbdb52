package gateway

// An inputBudget counts what the connections of one loop hold of input that is not finished: messages
// of which parts have come, and what a full room keeps from being decoded. Each loop has its share
// of --assembly-memory, so that nobody waits for another loop's answer; connections are spread
// evenly. Beyond the share the largest is closed, one read late at most. One connection alone is
// never beyond it, see Config.assemblyShare.
type inputBudget struct {
	limit int // bytes
	held  int
	conns map[*conn]struct{} // those that hold anything
}

// hold notes that c holds n bytes now.
func (b *inputBudget) hold(c *conn, n int) {
	b.held += n - c.in.held
	if c.in.held = n; n == 0 {
		delete(b.conns, c)
		return
	}
	b.conns[c] = struct{}{}
	for b.held > b.limit {
		b.largest().close(ClosedAssembly)
	}
}

// largest is the connection that holds most, of several the one with the lowest token: a map's
// order is another each time, and the same input is to have the same outcome. There is one: their
// sum is beyond the limit.
func (b *inputBudget) largest() (most *conn) {
	for c := range b.conns {
		if most == nil || c.in.held > most.in.held || c.in.held == most.in.held && c.token < most.token {
			most = c
		}
	}
	return most
}
