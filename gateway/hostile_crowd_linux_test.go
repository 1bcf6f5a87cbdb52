package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// freshPlays are crowds of clients that have just come, of which nobody can foresee that their
// first turn will take long.
func freshPlays(most, many, rooms int) []play {
	return []play{
		{name: "costliest_blocks_at_once", make: func(t *testing.T, addr string, _ int) (acts []func()) {
			p := wstest.MaskedDeflated(ws.OpBinary, costlyBlocks(3900))
			for i := range many {
				c := wstest.JoinDeflated(t, addr, fmt.Sprint("/ws/", i))
				acts = append(acts, func() { c.TrySend(p) })
			}
			return acts
		}},
		{name: "largest_texts_of_line_ends_at_once", make: func(t *testing.T, addr string, _ int) (acts []func()) {
			p := wstest.MaskedText(strings.Repeat("\n", most/8))
			for i := range many {
				c := wstest.Join(t, addr, fmt.Sprint("/ws/", i))
				c.Send(p[:len(p)-1])
				wstest.Listen(t, addr, fmt.Sprint("/sse/", i))
				acts = append(acts, func() { c.TrySend(p[len(p)-1:]) })
			}
			return acts
		}},
		{name: "subscribing_at_once", make: func(t *testing.T, addr string, _ int) (acts []func()) {
			for i := range many {
				c := joinSubscriber(t, addr)
				p := subscribing(commandsTurn, i*commandsTurn)
				acts = append(acts, func() { c.TrySend(p) })
			}
			return acts
		}},
		{name: "reset_out_of_many_rooms", make: func(t *testing.T, addr string, _ int) (acts []func()) {
			for i := range many {
				c := joinSubscriber(t, addr)
				c.Send(subscribing(rooms, i*rooms))
				for n := 0; n < rooms; {
					n += strings.Count(string(c.Frame().Payload), `"subscribe"`)
				}
				acts = append(acts, c.Reset)
			}
			return acts
		}},
		{name: "tokens_at_once", tune: judgeSlowly, make: func(t *testing.T, addr string, _ int) (acts []func()) {
			for range many {
				c := wstest.Connect(t, addr)
				acts = append(acts, func() { c.TrySend(wstest.UpgradeHead("/ws/crowd?token=forged")) })
			}
			return acts
		}},
		{name: "looking_for_what_is_not_kept", make: func(t *testing.T, addr string, few int) (acts []func()) {
			speaker := wstest.Join(t, addr, "/ws/kept")
			speaker.SetDeadline(time.Now().Add(testenv.Patience))
			said := strings.Repeat("h", historyTaken/historyLittle-100)
			for range historyLittle {
				speaker.Send(wstest.MaskedText(said))
				speaker.ExpectFrame(ws.OpText, said)
			}
			for range 4 * few {
				c := joinSubscriber(t, addr)
				c.Send(wstest.MaskedText(`{"id":2,"history":{"channel":"kept"}}`))
				_, epoch, _ := strings.Cut(string(c.Frame().Payload), `"epoch":"`)
				epoch, _, _ = strings.Cut(epoch, `"`)
				p := commandsOf(2*commandsTurn, func(id int) string {
					return fmt.Sprintf(`{"id":%d,"history":{"channel":"kept","limit":%d,"reverse":true,"since":{"offset":1,"epoch":%q}}}`, id, historyLittle, epoch)
				})
				acts = append(acts, func() {
					c.TrySend(p)
					for n := 0; n < 2*commandsTurn; {
						n += strings.Count(string(c.Frame().Payload), `"publications":[]`)
					}
				})
			}
			return acts
		}},
	}
}

func joinSubscriber(t *testing.T, addr string) *wstest.Client {
	c := wstest.Join(t, addr, subscriberPath, wstest.MaskedText(`{"id":1,"connect":{}}`))
	c.SetDeadline(time.Now().Add(testenv.Patience))
	if f := c.Frame(); !strings.Contains(string(f.Payload), `"connect"`) {
		t.Fatalf("connect is answered with %s", f.Payload)
	}
	return c
}

// commandsOf is a frame of n commands.
func commandsOf(n int, one func(id int) string) []byte {
	var all []string
	for i := range n {
		all = append(all, one(i+2))
	}
	return wstest.MaskedText(strings.Join(all, "\n"))
}

// subscribing is a frame of commands for n rooms.
func subscribing(n, from int) []byte {
	return commandsOf(n, func(id int) string { return fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"%d"}}`, id, from+id) })
}

// judgeSlowly has every token verified, in vain, by the dearest algorithm that there is, and
// everybody without one let in.
func judgeSlowly(t *testing.T, cfg *config) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	right, wrong := sha512.Sum512([]byte("right")), sha512.Sum512([]byte("wrong"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, right[:])
	if err != nil {
		t.Fatal(err)
	}
	cfg.Auth = slowJudge(func() bool { return ecdsa.VerifyASN1(&key.PublicKey, wrong[:], signature) })
	cfg.Anonymous = []Grant{{[]string{"*"}, Read | Publish}}
}

// A slowJudge says whether a token is good.
type slowJudge func() bool

func (j slowJudge) Judge(h *Handshake) (who Principal, err error) {
	if h.Token == "" || j() {
		return who, nil
	}
	return who, &AuthError{Status: http.StatusUnauthorized, Text: "It is forged."}
}

func (j slowJudge) Ask(context.Context, *Handshake) (Principal, error) {
	return Principal{}, ErrAsk // Nobody is to ask.
}

func (j slowJudge) Headers() []string { return nil }
