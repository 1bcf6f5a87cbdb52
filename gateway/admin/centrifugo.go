package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path"
	"slices"
	"unicode/utf8"

	"sluice/gateway"
)

// The API under the names of Centrifugo's, so that its server SDKs publish here: a channel is a
// room. POST /api/{method} has the parameters as its body; the old form, POST /api, has lines of
// {"method", "params"}. What is wrong with a request is an HTTP status; what is wrong with what it
// asks for is 200 and {"error": {"code", "message"}}, as there.
//
// data that is an object or a list goes out as JSON without blanks, a string as the text that it
// is, so that clients without a protocol get what clients sent each other; b64data is binary.

// A method does one thing and returns what its result is.
type method func(h *Handler, ctx context.Context, k *Key, p params) (result any, fault *fault)

// methods are all that there are. Those of what is not to be had here are refused.
var methods map[string]method

func init() { // batch leads back here.
	methods = map[string]method{
		"publish": (*Handler).cPublish, "broadcast": (*Handler).cBroadcast, "presence_stats": (*Handler).cPresenceStats,
		"channels": (*Handler).cChannels, "info": (*Handler).cInfo, "disconnect": (*Handler).cDisconnect,
		"unsubscribe": (*Handler).cUnsubscribe, "batch": (*Handler).cBatch,
		"history": (*Handler).cHistory, "history_remove": (*Handler).cHistoryRemove, "presence": (*Handler).cPresence, "subscribe": (*Handler).cSubscribe, "refresh": (*Handler).cRefresh,
	}
}

const (
	channelsMax = 1000 // of one broadcast, and of one answer
	commandsMax = 1000 // of one request
)

// What only Centrifugo's form refuses, in its words.
var (
	cBadRequest    = fault{Text: "bad request", centrifugo: 107}
	cNotAvailable  = fault{Text: "not available", centrifugo: 108}
	cUnknownMethod = fault{Text: "method not found", centrifugo: 104}
	cUnrecoverable = fault{Text: "unrecoverable position", centrifugo: 112}
	cTooMany       = fault{Text: "limit exceeded: more than 1000 channels or commands", centrifugo: 106}
)

// An errorJSON is a fault as Centrifugo tells it.
type errorJSON struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// A reply is the answer to one command.
type reply struct {
	Error  *errorJSON `json:"error,omitempty"`
	Result any        `json:"result,omitempty"`
}

func replyOf(result any, f *fault) reply {
	if f == nil {
		return reply{Result: result}
	}
	code := f.centrifugo
	if code == 0 {
		code = 100
	}
	return reply{Error: &errorJSON{code, f.Text}}
}

func (h *Handler) addCentrifugo() {
	for name, do := range methods {
		h.Handle("POST /api/"+name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.command(w, r, do) }))
	}
	h.Handle("POST /api", http.HandlerFunc(h.oldCommands))
	h.Handle("POST /api/{$}", http.HandlerFunc(h.oldCommands))
}

// commandMax is how large a request may be: one of the largest messages fits in, however it is
// escaped.
func (h *Handler) commandMax() int64 { return max(batchMax, 6*h.gateway.MaxMessage()) }

// command answers POST /api/{method}.
func (h *Handler) command(w http.ResponseWriter, r *http.Request, do method) {
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	var answer any
	fault := readCommand(w, r, h.commandMax(), func(body []byte) *fault {
		p, err := parseObject(body)
		if err != nil {
			return &faultJSON
		}
		result, fault := do(h, ctx, usedKey(r), p)
		if fault == &faultJSON {
			return fault
		}
		answer = replyOf(result, fault)
		if all, ok := result.(replies); ok && fault == nil {
			answer = all // Of a batch there is no result around them.
		}
		return nil
	})
	if fault != nil {
		fault.write(w)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// readCommand is readBody for JSON, whatever its type is said to be.
func readCommand(w http.ResponseWriter, r *http.Request, max int64, use func([]byte) *fault) (f *fault) {
	if _, fault := kindOf(http.Header{"Content-Encoding": r.Header["Content-Encoding"]}); fault != nil {
		return fault
	}
	if fault := readBody(w, r, max, func(body []byte) { f = use(body) }); fault != nil {
		return fault
	}
	return f
}

// oldCommands answers POST /api: a command on each line, an answer on each line.
func (h *Handler) oldCommands(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	var out []byte
	fault := readCommand(w, r, h.commandMax(), func(body []byte) *fault {
		var all []params
		for dec := json.NewDecoder(bytes.NewReader(body)); ; {
			var one json.RawMessage
			err := dec.Decode(&one)
			if errors.Is(err, io.EOF) {
				break
			}
			p, err2 := parseObject(one)
			if err != nil || err2 != nil || len(all) == commandsMax {
				return &faultJSON
			}
			all = append(all, p)
		}
		for _, p := range all {
			line, _ := json.Marshal(h.oldCommand(ctx, usedKey(r), p))
			out = append(append(out, line...), '\n')
		}
		return nil
	})
	if fault == nil && len(out) == 0 {
		fault = &faultJSON
	}
	if fault != nil {
		fault.write(w)
		return
	}
	writeBytes(w, http.StatusOK, out[:len(out)-1]) // cent.js parses what is behind the last line end, too.
}

func (h *Handler) oldCommand(ctx context.Context, k *Key, p params) any {
	name, ok := p.text("method")
	inner, err := parseParams(p["params"])
	do := methods[name]
	switch {
	case !ok || err != nil:
		return replyOf(nil, &cBadRequest)
	case do == nil:
		return replyOf(nil, &cUnknownMethod)
	}
	result, fault := do(h, ctx, k, inner)
	if all, ok := result.(replies); ok && fault == nil {
		return all
	}
	return replyOf(result, fault)
}

// cPublish: channel, data or b64data, idempotency_key. In a room without history there is no offset
// to tell. Tags do not go out with a message, and a version decides nothing here.
func (h *Handler) cPublish(_ context.Context, k *Key, p params) (any, *fault) {
	channel, ok := p.text("channel")
	m, fault := p.message()
	if !ok || fault != nil {
		return nil, &cBadRequest
	}
	return h.cPublishTo(k, channel, p, m)
}

func (h *Handler) cPublishTo(k *Key, channel string, p params, m gateway.Message) (any, *fault) {
	repeat, _ := p.text("idempotency_key")
	var version uint64
	var tags map[string]string
	if p.has("idempotency_key") && !isRepeatKey(repeat) || !p.read("version", &version) || !p.read("tags", &tags) {
		return nil, &cBadRequest
	}
	if !h.allows(k, channel, gateway.Publish) {
		return nil, &faultRooms
	}
	if version > 0 || len(tags) > 0 || h.keepsAnyway(channel, p) {
		return nil, &cNotAvailable // Or clients would get something else than is meant.
	}
	one := h.publishOne(k, channel, repeat, m)
	if one.fault != nil {
		return nil, one.fault
	}
	return positionOf(one.Position), nil
}

// cBroadcast: channels, and what publish has.
func (h *Handler) cBroadcast(_ context.Context, k *Key, p params) (any, *fault) {
	var channels []string
	m, fault := p.message()
	if json.Unmarshal(p["channels"], &channels) != nil || len(channels) == 0 || fault != nil {
		return nil, &cBadRequest
	}
	if len(channels) > channelsMax {
		return nil, &cTooMany
	}
	responses := make([]reply, 0, len(channels))
	for _, channel := range channels {
		responses = append(responses, replyOf(h.cPublishTo(k, channel, p, m)))
	}
	return struct {
		Responses []reply `json:"responses"`
	}{responses}, nil
}

type clientsJSON struct {
	Clients int `json:"num_clients"`
}

// cChannels: pattern. Of more than fit in an answer none are told, lest it be taken for all.
func (h *Handler) cChannels(_ context.Context, k *Key, p params) (any, *fault) {
	pattern, ok := p.text("pattern")
	if _, err := path.Match(pattern, ""); err != nil || !ok && p.has("pattern") {
		return nil, &cBadRequest
	}
	if !k.isForAll() {
		return nil, &faultWhole
	}
	clients, isWhole := h.gateway.Channels(pattern, channelsMax)
	if !isWhole {
		return nil, &cTooMany
	}
	channels := map[string]clientsJSON{}
	for name, n := range clients {
		channels[name] = clientsJSON{n}
	}
	return struct {
		Channels map[string]clientsJSON `json:"channels"`
	}{channels}, nil
}

// A nodeJSON is one gateway: this one, or one of its cluster.
type nodeJSON struct {
	UID      string `json:"uid"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	Clients  int    `json:"num_clients"`
	Users    int    `json:"num_users"`
	Subs     int    `json:"num_subs"`
	Channels int    `json:"num_channels"`
	Uptime   int64  `json:"uptime"`
}

// cInfo has no parameters. A client without a protocol is in one room, which is its one
// subscription; clients that are not known are one user.
func (h *Handler) cInfo(ctx context.Context, k *Key, _ params) (any, *fault) {
	if !k.isForAll() {
		return nil, &faultWhole
	}
	users, err := h.gateway.UsersByNode(ctx)
	if err != nil {
		return nil, faultOf(err)
	}
	var told struct {
		Nodes []nodeJSON `json:"nodes"`
	}
	for _, n := range h.gateway.Nodes() {
		told.Nodes = append(told.Nodes, nodeJSON{
			UID: n.ID, Name: n.Name, Version: n.Version, Clients: n.Connections, Users: users[n.ID], Subs: n.Members,
			Channels: n.Rooms, Uptime: int64(n.Uptime.Seconds()),
		})
	}
	if told.Nodes == nil {
		told.Nodes = []nodeJSON{{}}
	}
	self := &told.Nodes[0] // Of which more is known than was told.
	if self.Name == "" {
		self.Name, _ = os.Hostname()
		self.UID, self.Users = self.Name, users[""]
	}
	_, self.Channels = h.gateway.Rooms(gateway.RoomQuery{Less: gateway.ByName})
	self.Version, self.Clients, self.Subs = h.version, h.gateway.Open(), h.gateway.Subscriptions()
	self.Uptime = int64(h.clock.now().Seconds())
	return told, nil
}

// replies are the answer to a batch.
type replies struct {
	Replies []any `json:"replies"`
}

// cBatch: commands, each {method: params}.
func (h *Handler) cBatch(ctx context.Context, k *Key, p params) (any, *fault) {
	var commands []json.RawMessage
	if json.Unmarshal(p["commands"], &commands) != nil {
		return nil, &cBadRequest
	}
	if len(commands) > commandsMax {
		return nil, &cTooMany
	}
	parsed := make([]params, len(commands))
	for i := range commands {
		var err error
		if parsed[i], err = parseObject(commands[i]); err != nil {
			return nil, &faultJSON // Before any of them is done.
		}
	}
	all := replies{make([]any, 0, len(commands))}
	for _, c := range parsed {
		all.Replies = append(all.Replies, h.batched(ctx, k, c))
	}
	return all, nil
}

func (h *Handler) batched(ctx context.Context, k *Key, c params) any {
	for name, value := range c {
		do, isMethod := methods[name]
		inner, err := parseParams(value)
		switch {
		case len(c) != 1 || err != nil || name == "batch":
			return replyOf(nil, &cBadRequest)
		case !isMethod:
			return replyOf(nil, &cUnknownMethod)
		}
		result, fault := do(h, ctx, k, inner)
		if fault != nil {
			return replyOf(nil, fault)
		}
		return map[string]any{name: result}
	}
	return replyOf(nil, &cBadRequest)
}

// params are the fields of a JSON object.
type params map[string]json.RawMessage

var errNoObject = errors.New("admin: not a JSON object, or one with a key twice")

// parseObject takes an object apart. One that has a key twice is refused: two readers of it might
// go by different ones.
func parseObject(text []byte) (params, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errNoObject
	}
	p := params{}
	for dec.More() {
		name, err := dec.Token()
		key, ok := name.(string)
		if _, isDouble := p[key]; err != nil || !ok || isDouble {
			return nil, errNoObject
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errNoObject
		}
		p[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNoObject
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoObject
	}
	return p, nil
}

// parseParams takes the parameters of a command apart, of which there may be none.
func parseParams(text json.RawMessage) (params, error) {
	if isNothing(text) {
		return params{}, nil
	}
	return parseObject(text)
}

// isNothing reports whether a value is as good as none: some SDKs write what they were not given
// so, and Centrifugo takes it for left out.
func isNothing(value json.RawMessage) bool {
	switch string(value) {
	case "", "null", `""`, "[]":
		return true
	}
	return false
}

// text is a field that is a string.
func (p params) text(name string) (value string, ok bool) {
	given, ok := p[name]
	return value, ok && json.Unmarshal(given, &value) == nil && !bytes.Equal(given, []byte("null"))
}

// has reports whether a field is there, and says something.
func (p params) has(name string) bool { return !isNothing(p[name]) }

// read reads a field into what it has to be, if it says something.
func (p params) read(name string, to any) (ok bool) {
	return !p.has(name) || json.Unmarshal(p[name], to) == nil
}

// hasAny reports whether one of these fields says something.
func (p params) hasAny(names ...string) bool { return slices.ContainsFunc(names, p.has) }

// seconds is a field that is a time in Unix's seconds, which may not be there.
func (p params) seconds(name string) (n int64, ok bool) {
	ok = p.read(name, &n)
	return n, ok && n >= 0
}

// message makes a message of data or b64data.
func (p params) message() (m gateway.Message, f *fault) {
	if p.has("b64data") {
		text, ok := p.text("b64data")
		data, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil || p.has("data") {
			return m, &cBadRequest
		}
		return gateway.Message{Data: data, IsBinary: true}, nil
	}
	data := p["data"]
	switch {
	case data == nil:
		return m, &cBadRequest
	case data[0] == '"':
		text, ok := p.text("data")
		if !ok || !utf8.Valid(data) { // What is not would have been replaced.
			return m, &cBadRequest
		}
		return gateway.Message{Data: []byte(text)}, nil
	}
	var compact bytes.Buffer
	if json.Compact(&compact, data) != nil {
		return m, &cBadRequest
	}
	return gateway.Message{Data: compact.Bytes()}, nil
}
