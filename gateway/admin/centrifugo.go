package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
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
