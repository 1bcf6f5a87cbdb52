package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"sluice/gateway"
)

// A fault is why a request is refused, or an item of one. Text is for a person and repeats nothing
// of the request.
type fault struct {
	Code string `json:"code"`
	Text string `json:"message"`

	status     int
	retryAfter int // seconds; zero: trying again is no use
	centrifugo int // the code that Centrifugo has for the like
}

var (
	faultOrigin = fault{status: 403, Code: "origin", Text: "Pages of other origins may not ask here."}
	faultHost   = fault{status: 403, Code: "host", Text: "Nothing is answered here under this host name. localhost and addresses are, and names that --allow-host lists."}
	faultNoKey  = fault{status: 401, Code: "key", Text: "This needs an API key: Authorization: Bearer KEY, or X-API-Key: KEY. gateway key makes one, --admin-key-file lists them."}
	faultKey    = fault{status: 401, Code: "key", Text: "The API key is none of --admin-key-file."}
	faultRooms  = fault{status: 403, Code: "rooms", Text: "The API key is for other rooms than this.", centrifugo: 103}
	faultWhole  = fault{status: 403, Code: "rooms", Text: "The API key is for some rooms alone, and this is about all of them.", centrifugo: 103}

	faultQueryKey = fault{status: 401, Code: "key", Text: "An API key is not taken from the URL, which is logged and remembered on its way: send it as Authorization: Bearer KEY, or X-API-Key: KEY."}

	faultNotFound = fault{status: 404, Code: "not_found", Text: "Nothing here. /api/openapi.json lists what there is."}
	faultMethod   = fault{status: 405, Code: "method", Text: "Not by this method: see Allow."}
	faultNoRoom   = fault{status: 404, Code: "no_room", Text: "There is no such room at the moment: rooms come with their first client and go with their last.", centrifugo: 102}

	faultEncoding  = fault{status: 415, Code: "content_encoding", Text: "No compressed bodies are taken here."}
	faultType      = fault{status: 415, Code: "content_type", Text: "A message is text (text/plain, application/json) in UTF-8, binary (application/octet-stream), or a batch (application/x-ndjson)."}
	faultBatch     = fault{status: 415, Code: "content_type", Text: "No batch is taken here: send one message."}
	faultBody      = fault{status: 400, Code: "body", Text: "The body ended too early, or its chunks are malformed."}
	faultJSON      = fault{status: 400, Code: "json", Text: "This is not JSON, or an object in it has a key twice.", centrifugo: 107}
	faultItem      = fault{status: 400, Code: "json", Text: "The line is not JSON."}
	faultBatchSize = fault{status: 413, Code: "too_large", Text: "A batch has at most " + strconv.Itoa(linesMax) + " lines and " + strconv.Itoa(batchMax>>20) + " MiB: what came before was published."}
	faultKeyText   = fault{status: 400, Code: "idempotency_key", Text: "An Idempotency-Key is 1 to 255 visible characters of ASCII, once."}
	faultQuery     = fault{status: 400, Code: "query", Text: "It is code=N from 3000 to 4999 and reason=TEXT, each once."}
	faultRoomQuery = fault{status: 400, Code: "query", Text: "It is pattern=PATTERN, sort=members, memory or name, and limit=N up to 1000, each once."}
	faultConnQuery = fault{status: 400, Code: "query", Text: "It is room=ROOM, subject=NAME, sort=lag or id, and limit=N up to 1000, each once."}
	faultSubject   = fault{status: 400, Code: "query", Text: "It is subject=NAME, which has to be said, room=ROOM, code=N from 3000 to 4999 and reason=TEXT, each once."}
	faultKeptQuery = fault{status: 400, Code: "query", Text: "It is since=EPOCH:OFFSET or last=N, or last=all, and limit=N up to 1000, each once."}
	faultEpoch     = fault{status: 410, Code: "wrong_epoch", Text: "The room has begun anew since that position: whether something was missed is not known. It stands at epoch and offset now."}
	faultTooOld    = fault{status: 410, Code: "too_old", Text: "Something behind that position is no longer kept. The room stands at epoch and offset now."}
	faultBeyond    = fault{status: 410, Code: "beyond_end", Text: "No message has had that position yet. The room stands at epoch and offset now."}
	faultSeconds   = fault{status: 400, Code: "query", Text: "seconds is a whole number from 1 to " + strconv.Itoa(profileMax) + "; of a trace it may be a part of one."}
	faultRate      = fault{status: 429, Code: "rate", Text: "This key publishes more than --publish-rate.", centrifugo: 111}
)

// faults are those of the gateway.
var faults = []struct {
	err error
	fault
}{
	{gateway.ErrRoomName, fault{status: 400, Code: "room_name", centrifugo: 107}},
	{gateway.ErrNotUTF8, fault{status: 400, Code: "not_utf8", centrifugo: 107}},
	{gateway.ErrFarewell, fault{status: 400, Code: "farewell", centrifugo: 107}},
	{gateway.ErrTooLarge, fault{status: 413, Code: "too_large", centrifugo: 107}},
	{gateway.ErrRoomFull, fault{status: 503, Code: "room_full", retryAfter: 1, centrifugo: 111}},
	{gateway.ErrMemory, fault{status: 503, Code: "memory", retryAfter: 1, centrifugo: 111}},
	{gateway.ErrOutboxFull, fault{status: 503, Code: "client_full", retryAfter: 1, centrifugo: 111}},
	{gateway.ErrUnacknowledged, fault{status: 503, Code: "unacknowledged", retryAfter: 1, centrifugo: 111}},
	{gateway.ErrUnfilled, fault{status: 503, Code: "unfilled", retryAfter: 1, centrifugo: 100}},
	{gateway.ErrTooManyRooms, fault{status: 429, Code: "rooms_max", retryAfter: 5, centrifugo: 106}},
	{gateway.ErrTooManySubscriptions, fault{status: 429, Code: "subscriptions_max", centrifugo: 106}},
	{gateway.ErrInfo, fault{status: 400, Code: "info", centrifugo: 107}},
	{gateway.ErrNoConnection, fault{status: 404, Code: "no_connection"}},
	{gateway.ErrUnanswered, fault{status: 503, Code: "nodes", retryAfter: 1, centrifugo: 100}},
	{gateway.ErrBusy, fault{status: 503, Code: "busy", retryAfter: 1, centrifugo: 100}},
	{gateway.ErrClosed, fault{status: 503, Code: "closed", Text: "The gateway has stopped.", retryAfter: 5, centrifugo: 100}},
	{gateway.ErrNoHistory, fault{status: 404, Code: "no_history", centrifugo: 108}},
	{gateway.ErrNoPresence, fault{status: 404, Code: "no_presence", centrifugo: 108}},
	{gateway.ErrTooManyToTell, fault{status: 413, Code: "too_many_clients", centrifugo: 106}},
	{gateway.ErrFault, fault{status: 500, Code: "fault", centrifugo: 100}},
}

func init() {
	for i := range faults {
		if text := faults[i].err.Error(); faults[i].Text == "" {
			faults[i].Text = strings.ToUpper(text[:1]) + text[1:] + "."
		}
	}
}

// faultOf is the fault for an error of the gateway; nil for none.
func faultOf(err error) *fault {
	if err == nil {
		return nil
	}
	for i := range faults {
		if errors.Is(err, faults[i].err) {
			return &faults[i].fault
		}
	}
	return &fault{status: 500, Code: "fault", Text: "It failed.", centrifugo: 100}
}

// after is the fault with another time to come back at.
func (f fault) after(seconds int) *fault {
	f.retryAfter = seconds
	return &f
}

// isPassing reports whether a later try may succeed.
func (f *fault) isPassing() bool { return f.retryAfter > 0 }

// setHeader sets what a fault has in a response's head.
func (f *fault) setHeader(h http.Header) {
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	if f == &faultEncoding {
		h.Set("Accept-Encoding", "identity")
	}
}

// write answers with it.
func (f *fault) write(w http.ResponseWriter) {
	f.setHeader(w.Header())
	writeJSON(w, f.status, struct {
		Error *fault `json:"error"`
	}{f})
}

// writeJSON answers with a value that can be encoded.
func writeJSON(w http.ResponseWriter, status int, value any) {
	p, _ := json.Marshal(value) // Of our own types, which can.
	writeBytes(w, status, append(p, '\n'))
}

func writeBytes(w http.ResponseWriter, status int, p []byte) {
	writeTyped(w, status, "application/json", p)
}

func writeTyped(w http.ResponseWriter, status int, kind string, p []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(p)))
	w.WriteHeader(status)
	_, _ = w.Write(p) // Whoever asked may be gone.
}
