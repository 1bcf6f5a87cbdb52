package conformance

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"sluice/gateway"
	"sluice/internal/gatewaytest"
)

// An exampleClient is one of those that docs/protocol.md has talk to a gateway.
type exampleClient struct {
	*testing.T
	conn *websocket.Conn
	came []string // and is not yet expected
}

func dialExample(t *testing.T, url string) *exampleClient {
	t.Helper()
	conn, _, err := websocket.Dial(exampleTime(t), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return &exampleClient{T: t, conn: conn}
}

func exampleTime(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func (c *exampleClient) say(line string) {
	c.Helper()
	if err := c.conn.Write(exampleTime(c.T), websocket.MessageText, []byte(line)); err != nil {
		c.Fatal(err)
	}
}

// next is the next line of what comes.
func (c *exampleClient) next() string {
	c.Helper()
	if len(c.came) == 0 {
		_, message, err := c.conn.Read(exampleTime(c.T))
		if err != nil {
			c.Fatal(err)
		}
		c.came = strings.Split(string(message), "\n")
	}
	line := c.came[0]
	c.came = c.came[1:]
	return line
}

func (c *exampleClient) expect(line string) {
	c.Helper()
	var want, got any
	came := c.next()
	if err := json.Unmarshal([]byte(line), &want); err != nil {
		c.Fatalf("the document has %s: %v", line, err)
	}
	if err := json.Unmarshal([]byte(came), &got); err != nil || !matches(want, got) {
		c.Fatalf("the document says\n\t%s\nand the gateway\n\t%s", line, came)
	}
}

// matches reports whether a value is what the document has, where "…" is any text.
func matches(want, got any) bool {
	switch want := want.(type) {
	case string:
		text, ok := got.(string)
		return ok && text != "" && want == "…" || want == got
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok || len(object) != len(want) {
			return false
		}
		for key, value := range want {
			if !matches(value, object[key]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(want, got)
}

// What docs/protocol.md shows is what the gateway says.
func TestExamplesOfTheProtocol(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)\n```protocol\n(.*?\n)```\n").FindAllStringSubmatch(string(text), -1)
	if len(examples) < 3 {
		t.Fatalf("found %d examples", len(examples))
	}
	for _, example := range examples {
		o := gatewaytest.Options()
		o.PingInterval = 30 * time.Second
		o.History = []gateway.HistoryRule{{Pattern: "news", Messages: 100, Bytes: 8 << 20}}
		_, addr := gatewaytest.Start(t, o)
		raw := dialExample(t, "ws://"+addr+"/ws/news")
		client := dialExample(t, "ws://"+addr+"/connection/websocket")
		for line := range strings.Lines(example[1]) {
			who, words, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			switch who {
			case ">":
				client.say(words)
			case "<":
				client.expect(words)
			case "raw>":
				raw.say(words)
			case "raw<":
				if got := raw.next(); got != words {
					t.Errorf("a raw client got %q, want %q", got, words)
				}
			default:
				t.Fatalf("nobody says %q", line)
			}
		}
	}
}
