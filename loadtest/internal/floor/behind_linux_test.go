package floor

import (
	"bytes"
	"context"
	"testing"

	"github.com/coder/websocket"

	"sluice/internal/testenv"
)

// A client that does not read while others get more than its kernel takes has all of what waits for
// it, or is cut off in the end, and the others never notice.
func TestFloorWaitsForWhoIsBehindAndCutsWhoIsFarBehind(t *testing.T) {
	for _, test := range []struct {
		messages int
		isCut    bool
	}{{behindMax, false}, {4 * behindMax, true}} {
		addr := startFloor(t)
		ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience)
		defer cancel()
		all := dial(ctx, t, addr, 2)
		want := bytes.Repeat([]byte("x"), 1<<20)
		for i := range test.messages {
			want[0] = byte(i)
			if err := all[0].Write(ctx, websocket.MessageBinary, want); err != nil {
				t.Fatal(err)
			}
			if _, got, err := all[0].Read(ctx); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
			}
		}
		heard := 0
		for heard < test.messages {
			_, got, err := all[1].Read(ctx)
			if ctx.Err() != nil {
				t.Fatalf("neither cut nor served after %d of %d messages", heard, test.messages)
			}
			if err != nil {
				break
			}
			if want[0] = byte(heard); !bytes.Equal(got, want) {
				t.Fatalf("message %d came as another one of %d bytes", heard, len(got))
			}
			heard++
		}
		if isCut := heard < test.messages; isCut != test.isCut {
			t.Errorf("heard %d of %d messages", heard, test.messages)
		}
	}
}
