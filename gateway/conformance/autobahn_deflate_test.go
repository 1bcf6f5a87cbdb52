package conformance

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"sluice/internal/gatewaytest"
	"sluice/internal/testenv"
	"sluice/internal/wstest"
)

// Autobahn's cases 12 and 13: permessage-deflate with different payloads and different parameters.
// Payloads are of the suite's five kinds, but made here. The client deflates and inflates with the
// standard library.

// autobahnDeflateCount is how many messages a case sends: 1,000 in the suite and with
// -autobahn-full, 10 with SLUICE_CI=1, 2 otherwise or with the race detector.
func autobahnDeflateCount() int {
	if os.Getenv("SLUICE_CI") == "1" && !testenv.RaceEnabled {
		return autobahnPart(1000, 100)
	}
	return autobahnPart(1000, 500)
}

// A deflateSize is how long the messages of a case are, and the length of the fragments that they
// are sent in; zero: whole.
type deflateSize struct{ length, fragment int }

var deflateSizes = []deflateSize{
	{16, 0},
	{64, 0},
	{256, 0},
	{1 << 10, 0},
	{4 << 10, 0},
	{8 << 10, 0},
	{16 << 10, 0},
	{32 << 10, 0},
	{64 << 10, 0},
	{128 << 10, 0},
	{8 << 10, 256},
	{16 << 10, 256},
	{32 << 10, 256},
	{64 << 10, 256},
	{128 << 10, 256},
	{128 << 10, 1 << 10},
	{128 << 10, 4 << 10},
	{128 << 10, 32 << 10},
}

// A deflateData is what messages are cut from, one behind the other and round again.
type deflateData struct {
	op         ws.OpCode
	compresses bool
	twice      []byte // the data, two times, so that a message that goes round is in one piece
}

const deflateDataSize = 256 << 10

func newDeflateData(op ws.OpCode, compresses bool, data []byte) deflateData {
	return deflateData{op, compresses, bytes.Repeat(data[:deflateDataSize], 2)}
}

func (d deflateData) message(i, length int) []byte {
	at := i * length % deflateDataSize
	return d.twice[at : at+length]
}

const defaultOffer = "permessage-deflate; client_no_context_takeover; client_max_window_bits"

func TestAutobahn_12(t *testing.T) {
	t.Parallel()
	var groups []autobahnGroup
	var cases []autobahnCase
	for i, data := range []deflateData{jsonLike(), bitmapLike(), proseLike(), pageLike(), incompressible()} {
		prefix := fmt.Sprintf("12.%d", i+1)
		groups = append(groups, autobahnGroup{prefix, len(deflateSizes)})
		cases = append(cases, deflateCases(prefix, data, defaultOffer, true)...)
	}
	playDeflate(t, groups, cases)
}

// The parameters that the suite's client asks for, of a server that may decline. A window of ours
// that is smaller than the whole cannot be had: what a room is sent is deflated once. Such an offer
// is declined, and the connection is served without the extension (RFC 7692 §7.1.2.1, §5).
func TestAutobahn_13(t *testing.T) {
	t.Parallel()
	data := jsonLike()
	var groups []autobahnGroup
	var cases []autobahnCase
	for i, tc := range []struct {
		offer  string
		agreed bool
	}{
		{defaultOffer, true},
		{defaultOffer + "; server_no_context_takeover", true},
		{defaultOffer + "; server_max_window_bits=9", false},
		{defaultOffer + "; server_max_window_bits=15", true},
		{defaultOffer + "; server_no_context_takeover; server_max_window_bits=9", false},
		{defaultOffer + "; server_no_context_takeover; server_max_window_bits=15", true},
		{strings.Join([]string{
			defaultOffer + "; server_no_context_takeover; server_max_window_bits=9",
			defaultOffer + "; server_no_context_takeover",
			defaultOffer,
		}, ", "), true},
	} {
		prefix := fmt.Sprintf("13.%d", i+1)
		groups = append(groups, autobahnGroup{prefix, len(deflateSizes)})
		cases = append(cases, deflateCases(prefix, data, tc.offer, tc.agreed)...)
	}
	playDeflate(t, groups, cases)
}

func deflateCases(prefix string, data deflateData, offer string, agreed bool) (cases []autobahnCase) {
	for i, size := range deflateSizes {
		cases = append(cases, autobahnCase{fmt.Sprintf("%s.%d", prefix, i+1), func(c *wstest.Client) {
			room := fmt.Sprintf("/ws/autobahn-%s.%d", prefix, i+1)
			if got := openWithOffer(c, room, offer); got != agreed {
				c.T.Fatalf("agreed to permessage-deflate: %t, want %t", got, agreed)
			}
			d := newDeflater(c)
			for n := range autobahnDeflateCount() {
				message := data.message(n, size.length)
				d.send(data.op, message, size.fragment, agreed)
				d.expect(data.op, message, agreed)
			}
			if agreed && size.length >= 8<<10 && d.received*2 > d.plain && data.compresses {
				c.T.Errorf("%d octets came for messages of %d: they were not deflated", d.received, d.plain)
			}
			closeCleanly(c)
		}})
	}
	return cases
}

// playDeflate is playAutobahn for cases that open their own connections.
func playDeflate(t *testing.T, groups []autobahnGroup, cases []autobahnCase) {
	t.Helper()
	t.Logf("%d messages in each case", autobahnDeflateCount())
	expectAllOf(t, groups, cases)
	_, addr := gatewaytest.Start(t, gatewaytest.Options())
	for _, ac := range cases {
		t.Run(ac.number, func(t *testing.T) {
			c := wstest.Connect(t, addr)
			c.Wait = autobahnWait
			ac.play(c)
		})
	}
}

// openWithOffer upgrades, offering extensions, and reports whether permessage-deflate was agreed
// on. The answer must be one that the offer allows.
func openWithOffer(c *wstest.Client, path, offer string) (agreed bool) {
	c.T.Helper()
	c.Send(wstest.UpgradeHead(path, "Sec-WebSocket-Extensions: "+offer))
	r, _ := c.Response()
	if r.StatusCode != http.StatusSwitchingProtocols {
		c.T.Fatal(r.Status)
	}
	answer := r.Header.Values("Sec-WebSocket-Extensions")
	if len(answer) == 0 {
		return false
	}
	name, params, _ := strings.Cut(answer[0], ";")
	if len(answer) > 1 || strings.TrimSpace(name) != "permessage-deflate" || strings.Contains(params, ",") {
		c.T.Fatalf("answered %q", answer)
	}
	isStateless := false
	for p := range strings.SplitSeq(params, ";") {
		switch p = strings.TrimSpace(p); p {
		case "server_no_context_takeover":
			isStateless = true
		case "client_no_context_takeover", "server_max_window_bits=15", "client_max_window_bits=15":
		default:
			c.T.Fatalf("answered %q, of which %q was not to be expected", answer, p)
		}
	}
	if !isStateless {
		c.T.Fatalf("answered %q: a message must inflate by itself", answer)
	}
	return true
}

// deflateTail is what a sender leaves out at a message's end (RFC 7692 §7.2.1); the empty last
// block behind it ends a reader of the standard library.
const deflateTail = "\x00\x00\xff\xff" + "\x01\x00\x00\xff\xff"

// A deflater plays the client's end of permessage-deflate without context takeover.
type deflater struct {
	c               *wstest.Client
	buf             bytes.Buffer
	w               *flate.Writer
	received, plain int // octets of payload as they came, and inflated
}

func newDeflater(c *wstest.Client) *deflater {
	d := &deflater{c: c}
	d.w, _ = flate.NewWriter(&d.buf, flate.DefaultCompression) // Fails for a level that does not exist.
	return d
}

func (d *deflater) send(op ws.OpCode, message []byte, fragment int, deflated bool) {
	d.c.T.Helper()
	wire := message
	if deflated {
		d.buf.Reset()
		d.w.Reset(&d.buf)
		d.w.Write(message) // A buffer takes everything.
		d.w.Flush()
		wire = bytes.TrimSuffix(d.buf.Bytes(), []byte(deflateTail[:4]))
	}
	parts := [][]byte{wire}
	if fragment > 0 {
		parts = slices.Collect(slices.Chunk(wire, fragment))
	}
	var frames []byte
	for i, p := range parts {
		f := ws.NewFrame(op, i == len(parts)-1, bytes.Clone(p))
		if deflated && i == 0 {
			f.Header.Rsv = ws.Rsv(true, false, false)
		}
		frames = append(frames, ws.MustCompileFrame(ws.MaskFrameInPlace(f))...)
		op = ws.OpContinuation
	}
	d.c.Send(frames)
}

func (d *deflater) expect(op ws.OpCode, message []byte, mayDeflate bool) {
	d.c.T.Helper()
	payload, isDeflated := d.receive(op, mayDeflate)
	d.received += len(payload)
	if isDeflated {
		var err error
		r := flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader(deflateTail)))
		if payload, err = io.ReadAll(io.LimitReader(r, int64(len(message))+1)); err != nil {
			d.c.T.Fatalf("a message of %d octets cannot be inflated: %v", len(message), err)
		}
	}
	d.plain += len(payload)
	if !bytes.Equal(payload, message) {
		d.c.T.Fatalf("%d octets came back, or others than the %d that were sent", len(payload), len(message))
	}
}

// receive reads one message, in one frame or several.
func (d *deflater) receive(op ws.OpCode, mayDeflate bool) (payload []byte, isDeflated bool) {
	d.c.T.Helper()
	for {
		h, err := ws.ReadHeader(d.c.In)
		if err != nil {
			d.c.T.Fatalf("no frame: %v", err)
		}
		rsv1, rsv2, rsv3 := ws.RsvBits(h.Rsv)
		// RSV1 belongs to a message's first frame alone (RFC 7692 §6.1).
		if h.OpCode != op || h.Masked || rsv2 || rsv3 || rsv1 && (!mayDeflate || op == ws.OpContinuation) {
			d.c.T.Fatalf("frame with header %+v, want opcode %#x", h, op)
		}
		part := make([]byte, h.Length)
		if _, err := io.ReadFull(d.c.In, part); err != nil {
			d.c.T.Fatal(err)
		}
		payload, isDeflated = append(payload, part...), isDeflated || rsv1
		if h.Fin {
			return payload, isDeflated
		}
		op = ws.OpContinuation
	}
}

// The suite's five kinds of payload: a JSON document, a bitmap, prose, a page, and a file that is
// compressed already.

func jsonLike() deflateData {
	var b []byte
	r := rand.New(rand.NewPCG(12, 1))
	for len(b) < deflateDataSize {
		b = fmt.Appendf(b, `{"id":%d,"user":"user-%d","at":%d,"position":{"x":%.5f,"y":%.5f},"tags":["%x","%x"]},`+"\n",
			len(b), r.IntN(1000), 1_700_000_000+len(b), r.Float64(), r.Float64(), r.Uint32()%64, r.Uint32()%64)
	}
	return newDeflateData(ws.OpText, true, b)
}

// bitmapLike is 512 by 512 gray pixels: soft shades and a little noise, which compress somewhat.
func bitmapLike() deflateData {
	b := make([]byte, deflateDataSize)
	r := rand.New(rand.NewPCG(12, 2))
	for i := range b {
		x, y := i%512, i/512
		b[i] = byte(x*y/1024 + x/4 + r.IntN(3))
	}
	return newDeflateData(ws.OpBinary, false, b)
}

func proseLike() deflateData {
	words := strings.Fields("Habe nun ach Philosophie Juristerei und Medizin und leider auch Theologie durchaus studiert mit heißem Bemühn " +
		"da steh ich nun ich armer Tor und bin so klug als wie zuvor heiße Magister heiße Doktor gar")
	var b []byte
	r := rand.New(rand.NewPCG(12, 3))
	for len(b) < deflateDataSize {
		b = fmt.Appendf(b, "%s %s %s,\r\n", words[r.IntN(len(words))], words[r.IntN(len(words))], words[r.IntN(len(words))])
	}
	return newDeflateData(ws.OpBinary, true, b)
}

func pageLike() deflateData {
	var b []byte
	r := rand.New(rand.NewPCG(12, 4))
	for len(b) < deflateDataSize {
		b = fmt.Appendf(b, "<tr class=\"row\"><td><a href=\"/item/%d\">Item %d</a></td><td class=\"price\">%d.%02d</td></tr>\n",
			r.IntN(1e6), r.IntN(1e6), r.IntN(100), r.IntN(100))
	}
	return newDeflateData(ws.OpText, true, b)
}

func incompressible() deflateData {
	b := make([]byte, deflateDataSize)
	rand.NewChaCha8([32]byte{12, 5}).Read(b)
	return newDeflateData(ws.OpBinary, false, b)
}
