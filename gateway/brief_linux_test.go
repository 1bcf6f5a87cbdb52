package gateway

import (
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// Commands that come in a brief turn, and are more than that obeys, are work of the turn that they
// wait for: a client is as costly by them as by any others.
func TestCommandsThatWaitForATurnAreItsWork(t *testing.T) {
	cfg := testConfig()
	cfg.Loops, cfg.costlyTurn = 1, -1 // Whatever is much takes too long: no time passes on this kernel.
	st := newStepped(t, cfg, nil)
	c := st.join(0, subscriberPath)
	c.send(wstest.MaskedText(`{"id":1,"connect":{}}`))
	st.tick(0, 2)
	c.take()
	const one, n = `{"id":2,"unsubscribe":{"channel":"never"}}`, 33
	p := wstest.MaskedText(strings.TrimSpace(strings.Repeat(one+"\n", n)))
	const early = briefRead - 100
	c.send(p[:early])
	st.tick(0, 2)
	if c.c.isCostly() {
		t.Fatal("what it has sent so far was little")
	}
	c.send(p[early:])
	st.s.workers[0].spent = longTime // As if others had had it in this tick.
	st.tick(0, 3)
	var heard strings.Builder
	for buf := make([]byte, 4<<10); ; {
		k, err := c.Read(buf)
		if heard.Write(buf[:max(0, k)]); k <= 0 || err != nil {
			break
		}
	}
	if got := strings.Count(heard.String(), `"unsubscribe"`); got != n {
		t.Errorf("%d commands were obeyed, want %d", got, n)
	}
	if !c.c.isCostly() {
		t.Error("it has done much, and nobody has noted that")
	}
}
