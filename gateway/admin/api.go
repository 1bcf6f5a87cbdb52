package admin

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/gateway"
	"sluice/hub"
)

// Gateway is what the API asks of a [gateway.Server].
type Gateway interface {
	PublishAt(room string, m gateway.Message) (hub.Published, error)
	PublishAhead(room string, m gateway.Message) (p hub.Published, wait func() (hub.Published, error), err error)
	Kept(ctx context.Context, room string, start hub.Start, limit int, bytes int64) (gateway.KeptPage, error)
	Keeps(room string) bool
	RemoveKept(room string) error
	Send(ctx context.Context, id string, m gateway.Message) error
	Room(name string) (gateway.RoomInfo, bool)
	Rooms(q gateway.RoomQuery) (rooms []gateway.RoomInfo, total int)
	Connection(ctx context.Context, id string) (gateway.ConnInfo, error)
	Connections(ctx context.Context, q gateway.ConnQuery) (conns []gateway.ConnInfo, total int, err error)
	Disconnect(ctx context.Context, id, subject string, f gateway.Farewell) (gateway.Reach, error)
	DisconnectRoom(ctx context.Context, room string, f gateway.Farewell) (gateway.Reach, error)
	DisconnectSubject(ctx context.Context, subject, room string, f gateway.Farewell) (gateway.Reach, error)
	Unsubscribe(ctx context.Context, id, subject, room string, f gateway.Farewell) (gateway.Reach, error)
	UnsubscribeSubject(ctx context.Context, subject, room string, f gateway.Farewell) (gateway.Reach, error)
	Subscribe(ctx context.Context, id, subject, room string, p gateway.Placement) (gateway.Reach, error)
	SubscribeSubject(ctx context.Context, subject, room string, p gateway.Placement) (gateway.Reach, error)
	Refresh(ctx context.Context, id, subject string, expires int64) (gateway.Reach, error)
	RefreshSubject(ctx context.Context, subject string, expires int64) (gateway.Reach, error)
	Subscriptions() int
	Users(ctx context.Context, room string) (n int, err error)
	UsersByNode(ctx context.Context) (map[string]int, error)
	Attendees(ctx context.Context, room string) ([]gateway.Attendee, error)
	Clients(room string) int
	Channels(pattern string, limit int) (clients map[string]int, isWhole bool)
	Nodes() []hub.NodeInfo
	Allows(p *gateway.Principal, room string, want gateway.Permission) bool
	Open() int
	MaxMessage() int64
}

// askFor is how long loops have to answer.
const askFor = 5 * time.Second

// addAPI adds the routes, with what a key has to allow in the room of the path; nothing: it has to be
// for all rooms.
func (h *Handler) addAPI() {
	for _, route := range []struct {
		pattern string
		want    gateway.Permission
		to      http.HandlerFunc
	}{
		{"POST /api/rooms/{room}/messages", gateway.Publish, h.publish},
		{"GET /api/rooms/{room}/messages", mayReadKept, h.readKept},
		{"DELETE /api/rooms/{room}/messages", gateway.Publish | gateway.History, h.removeKept},
		{"GET /api/rooms/{room}", gateway.Presence, h.room},
		{"DELETE /api/rooms/{room}/members", gateway.Publish | gateway.Presence, h.disconnectRoom},
		{"GET /api/rooms", 0, h.listRooms},
		{"GET /api/connections", 0, h.listConnections},
		{"GET /api/connections/{id}", 0, h.connection},
		{"DELETE /api/connections/{id}", 0, h.disconnect},
		{"DELETE /api/connections", 0, h.disconnectSubject},
		{"POST /api/connections/{id}/messages", 0, h.send},
	} {
		h.Handle(route.pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch k := usedKey(r); {
			case route.want == 0 && !k.isForAll():
				faultWhole.write(w)
			case route.want != 0 && !h.allows(k, r.PathValue("room"), route.want):
				faultRooms.write(w)
			default:
				route.to(w, r)
			}
		}))
	}
	h.Handle("GET /api/openapi.json", http.HandlerFunc(serveOpenAPI))
}

// allows reports whether a key is for this in the room.
func (h *Handler) allows(k *Key, room string, want gateway.Permission) bool {
	return h.gateway.Allows(&k.holder, room, want)
}

// A kind is what the body of a request is.
type kind uint8

const (
	isText kind = iota
	isBinary
	isBatch
)

// kindOf tells by a request's head what its body is. What curl -d says, who means no form by it, is
// text.
func kindOf(head http.Header) (kind, *fault) {
	if e := head.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return 0, &faultEncoding
	}
	given := head.Get("Content-Type")
	if given == "" {
		return isText, nil
	}
	name, params, err := mime.ParseMediaType(given)
	charset := params["charset"]
	family, rest, _ := strings.Cut(name, "/")
	switch {
	case err != nil, family == "multipart":
		return 0, &faultType
	case name == "application/x-ndjson", name == "application/ndjson", name == "application/jsonl":
		return isBatch, nil
	case family == "text", strings.HasSuffix(rest, "+json"), strings.HasSuffix(rest, "+xml"), rest == "json", rest == "xml",
		rest == "javascript", rest == "x-www-form-urlencoded":
		if charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
			return 0, &faultType
		}
		return isText, nil
	}
	return isBinary, nil
}

// bodies are buffers for them. Large ones are left to the collector.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const pooledMax = 64 << 10

// readBody reads a body of at most max bytes, and hands it to use, which may not keep it.
func readBody(w http.ResponseWriter, r *http.Request, max int64, use func([]byte)) *fault {
	if r.ContentLength > max {
		w.Header().Set("Connection", "close")
		return faultOf(gateway.ErrTooLarge)
	}
	b := bodies.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= pooledMax {
			b.Reset()
			bodies.Put(b)
		}
	}()
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, max)); err != nil {
		return faultOfBody(w, err)
	}
	use(b.Bytes())
	return nil
}

func faultOfBody(w http.ResponseWriter, err error) *fault {
	w.Header().Set("Connection", "close") // Where it would have ended is not known.
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return faultOf(gateway.ErrTooLarge)
	}
	return &faultBody
}

// publish answers POST /api/rooms/{room}/messages: the body is the message.
func (h *Handler) publish(w http.ResponseWriter, r *http.Request) {
	room, repeat := r.PathValue("room"), ""
	if given := r.Header.Values("Idempotency-Key"); len(given) > 0 {
		if repeat = given[0]; len(given) > 1 || !isRepeatKey(repeat) {
			faultKeyText.write(w)
			return
		}
	}
	what, fault := kindOf(r.Header)
	switch {
	case fault != nil:
		fault.write(w)
		return
	case what == isBatch:
		h.publishBatch(w, r, room, repeat)
		return
	}
	var p published
	fault = readBody(w, r, h.gateway.MaxMessage(), func(body []byte) {
		p = h.publishOne(usedKey(r), room, repeat, gateway.Message{Data: body, IsBinary: what == isBinary})
	})
	if fault == nil {
		fault = p.fault
	}
	if fault != nil {
		fault.write(w)
		return
	}
	writeBytes(w, http.StatusOK, append(p.append(nil), '\n'))
}

// publishOne publishes one message: once under a repeat key, and within the key's rate.
func (h *Handler) publishOne(k *Key, room, repeat string, m gateway.Message) published {
	now := h.clock.now()
	return h.repeats.do(room, repeat, now, func() published {
		if lacks := h.lacks(k, now); lacks != nil {
			return published{fault: lacks}
		}
		m.Key = repeat
		p, err := h.gateway.PublishAt(room, m)
		return published{p, faultOf(err)}
	})
}

// lacks takes one message from the key's rate: nil, or what is told to who is over it.
func (h *Handler) lacks(k *Key, now time.Duration) *fault {
	if lacks := k.take(h.rules.Load().rate, now); lacks > 0 {
		return faultRate.after(int((lacks + time.Second - 1) / time.Second))
	}
	return nil
}

// append writes {"members":3}, and the position where there is one.
func (p *published) append(dst []byte) []byte {
	dst = append(dst, `{"members":`...)
	dst = strconv.AppendInt(dst, int64(p.Members), 10)
	if p.Epoch != "" { // Of letters and digits.
		dst = append(append(dst, `,"epoch":"`...), p.Epoch...)
		dst = strconv.AppendUint(append(dst, `","offset":`...), p.Offset, 10)
	}
	return append(dst, '}')
}

// send answers POST /api/connections/{id}/messages.
func (h *Handler) send(w http.ResponseWriter, r *http.Request) {
	what, fault := kindOf(r.Header)
	if what == isBatch {
		fault = &faultBatch
	}
	if fault != nil {
		fault.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	var err error
	fault = readBody(w, r, h.gateway.MaxMessage(), func(body []byte) {
		err = h.gateway.Send(ctx, r.PathValue("id"), gateway.Message{Data: body, IsBinary: what == isBinary})
	})
	if fault == nil {
		fault = faultOf(err)
	}
	if fault != nil {
		fault.write(w)
		return
	}
	writeJSON(w, http.StatusOK, struct{}{})
}

// A roomJSON is a room as the API tells of it.
type roomJSON struct {
	Room      string `json:"room"`
	Members   int    `json:"members"`
	Blocked   int    `json:"blocked"`
	Speakers  int    `json:"speakers"`
	Policy    string `json:"slow_policy"`
	IsFull    bool   `json:"full"`
	Messages  uint64 `json:"messages"`
	Backlog   int64  `json:"backlog_bytes"`
	Memory    int64  `json:"memory_bytes"`
	Owed      uint64 `json:"owed"`
	Delivered uint64 `json:"delivered"`
	Skipped   uint64 `json:"skipped"`
	Ended     uint64 `json:"ended_early"`
	Kept      uint64 `json:"kept"`
	KeptBytes int64  `json:"kept_bytes"`
	Elsewhere int    `json:"members_elsewhere,omitempty"` // on other nodes
	positionJSON
}

func tellRoom(r *gateway.RoomInfo) roomJSON {
	a := &r.Account
	return roomJSON{
		r.Name, r.Members, r.Blocked, r.Speakers, r.Policy.String(), r.IsFull, r.Messages, r.Backlog, r.Memory,
		a.Owed, a.Delivered, a.Skipped, a.Ended, r.Kept, r.KeptBytes, r.Elsewhere, positionOf(r.Position),
	}
}

// room answers GET /api/rooms/{room}.
func (h *Handler) room(w http.ResponseWriter, r *http.Request) {
	info, ok := h.gateway.Room(r.PathValue("room"))
	if !ok {
		faultNoRoom.write(w)
		return
	}
	writeJSON(w, http.StatusOK, tellRoom(&info))
}

const (
	listed    = 100  // rooms or connections, unless more are asked for …
	listedMax = 1000 // … at most so many
)

// listRooms answers GET /api/rooms.
func (h *Handler) listRooms(w http.ResponseWriter, r *http.Request) {
	q, fault := query(r, "pattern", "sort", "limit")
	orders := map[string]func(a, b *gateway.RoomInfo) int{"": gateway.ByMembers, "members": gateway.ByMembers, "memory": gateway.ByMemory, "name": gateway.ByName}
	order, isOrder := orders[q["sort"]]
	limit, isLimit := limitOf(q["limit"], listed)
	if _, err := path.Match(q["pattern"], ""); fault != nil || err != nil || !isOrder || !isLimit {
		faultQuery.write(w)
		return
	}
	rooms, total := h.gateway.Rooms(gateway.RoomQuery{Pattern: q["pattern"], Less: order, Limit: limit})
	answer := struct {
		Total int        `json:"total"`
		Rooms []roomJSON `json:"rooms"`
	}{total, make([]roomJSON, 0, len(rooms))}
	for i := range rooms {
		answer.Rooms = append(answer.Rooms, tellRoom(&rooms[i]))
	}
	writeJSON(w, http.StatusOK, answer)
}

// A connJSON is a connection as the API tells of it.
type connJSON struct {
	ID        string `json:"id"`
	Address   string `json:"address,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Room      string `json:"room,omitempty"`
	Encoding  string `json:"encoding"`
	Messages  uint64 `json:"messages_behind"`
	Bytes     int64  `json:"bytes_behind"`
	Age       int64  `json:"behind_ms"`
	IsBlocked bool   `json:"blocked"`
	Untaken   int64  `json:"untaken_ms"`
	IsSlow    bool   `json:"slow"`
	IsSpeaker bool   `json:"speaker"`

	Subscriptions int           `json:"subscriptions,omitempty"`
	Rooms         []roomLagJSON `json:"rooms,omitempty"`
}

// A roomLagJSON is a client of the Centrifuge protocol in one of its rooms.
type roomLagJSON struct {
	Room      string `json:"room"`
	Messages  uint64 `json:"messages_behind"`
	Bytes     int64  `json:"bytes_behind"`
	Age       int64  `json:"behind_ms"`
	IsBlocked bool   `json:"blocked"`
	IsSlow    bool   `json:"slow"`
}

func tellConn(c *gateway.ConnInfo) connJSON {
	j := connJSON{
		ID: c.ID, Address: c.Address, Subject: c.Subject, Room: c.Room, Encoding: c.Encoding,
		Messages: c.Lag.Messages, Bytes: c.Lag.Bytes, Age: c.Lag.Age.Milliseconds(),
		IsBlocked: c.IsBlocked, Untaken: c.Untaken.Milliseconds(), IsSlow: c.IsSlow, IsSpeaker: c.IsSpeaker,
		Subscriptions: c.Subscriptions,
	}
	for _, r := range c.Rooms {
		j.Rooms = append(j.Rooms, roomLagJSON{r.Room, r.Lag.Messages, r.Lag.Bytes, r.Lag.Age.Milliseconds(), r.IsBlocked, r.IsSlow})
	}
	return j
}

// listConnections answers GET /api/connections.
func (h *Handler) listConnections(w http.ResponseWriter, r *http.Request) {
	q, fault := query(r, "room", "subject", "sort", "limit")
	limit, isLimit := limitOf(q["limit"], listed)
	if sort := q["sort"]; fault != nil || !isLimit || sort != "" && sort != "lag" && sort != "id" {
		faultQuery.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	conns, total, err := h.gateway.Connections(ctx, gateway.ConnQuery{Room: q["room"], Subject: q["subject"], ByLag: q["sort"] != "id", Limit: limit})
	if err != nil {
		faultOf(err).write(w)
		return
	}
	answer := struct {
		Total       int        `json:"total"`
		Connections []connJSON `json:"connections"`
	}{total, make([]connJSON, 0, len(conns))}
	for i := range conns {
		answer.Connections = append(answer.Connections, tellConn(&conns[i]))
	}
	writeJSON(w, http.StatusOK, answer)
}

// connection answers GET /api/connections/{id}.
func (h *Handler) connection(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	info, err := h.gateway.Connection(ctx, r.PathValue("id"))
	if err != nil {
		faultOf(err).write(w)
		return
	}
	writeJSON(w, http.StatusOK, tellConn(&info))
}

// A disconnectedJSON says how many connections were closed; in a cluster, too, how many nodes had to see
// to it, and how many have said that they did.
type disconnectedJSON struct {
	Disconnected int `json:"disconnected"`
	Nodes        int `json:"nodes,omitempty"`
	Answered     int `json:"answered,omitempty"`
}

func tellReach(r gateway.Reach) disconnectedJSON {
	if r.Nodes == 1 {
		return disconnectedJSON{Disconnected: r.Clients}
	}
	return disconnectedJSON{r.Clients, r.Nodes, r.Answered}
}

// disconnect answers DELETE /api/connections/{id}.
func (h *Handler) disconnect(w http.ResponseWriter, r *http.Request) {
	f, fault := farewellOf(r)
	if fault != nil {
		fault.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	reach, err := h.gateway.Disconnect(ctx, r.PathValue("id"), "", f)
	if err != nil {
		faultOf(err).write(w)
		return
	}
	writeJSON(w, http.StatusOK, tellReach(reach))
}

// disconnectRoom answers DELETE /api/rooms/{room}/members.
func (h *Handler) disconnectRoom(w http.ResponseWriter, r *http.Request) {
	f, fault := farewellOf(r)
	if fault != nil {
		fault.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	reach, err := h.gateway.DisconnectRoom(ctx, r.PathValue("room"), f)
	if err != nil {
		faultOf(err).write(w)
		return
	}
	writeJSON(w, http.StatusOK, tellReach(reach))
}

// disconnectSubject answers DELETE /api/connections?subject=ann.
func (h *Handler) disconnectSubject(w http.ResponseWriter, r *http.Request) {
	q, fault := query(r, "subject", "room", "code", "reason")
	if fault == nil && q["subject"] == "" {
		fault = &faultQuery
	}
	f, bad := farewellIn(q)
	if fault == nil {
		fault = bad
	}
	if fault != nil {
		fault.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), askFor)
	defer cancel()
	reach, err := h.gateway.DisconnectSubject(ctx, q["subject"], q["room"], f)
	if err != nil {
		faultOf(err).write(w)
		return
	}
	writeJSON(w, http.StatusOK, tellReach(reach))
}

// farewellOf reads ?code=4100&reason=text.
func farewellOf(r *http.Request) (f gateway.Farewell, fault *fault) {
	q, fault := query(r, "code", "reason")
	if fault != nil {
		return f, fault
	}
	return farewellIn(q)
}

func farewellIn(q map[string]string) (f gateway.Farewell, fault *fault) {
	f.Reason = q["reason"]
	if code := q["code"]; code != "" {
		n, err := strconv.ParseUint(code, 10, 16)
		if err != nil || n == 0 {
			return f, faultOf(gateway.ErrFarewell)
		}
		f.Code = int(n)
	}
	return f, nil
}

// query reads what stands behind the path: each of these names once at most, and nothing else.
func query(r *http.Request, names ...string) (map[string]string, *fault) {
	found := map[string]string{}
	values, err := url.ParseQuery(r.URL.RawQuery)
	for name, list := range values {
		isKnown := false
		for _, known := range names {
			isKnown = isKnown || name == known
		}
		if !isKnown || len(list) > 1 {
			return nil, &faultQuery
		}
		found[name] = list[0]
	}
	if err != nil {
		return nil, &faultQuery
	}
	return found, nil
}

// limitOf reads a limit, which is otherwise this.
func limitOf(text string, otherwise int) (n int, ok bool) {
	if text == "" {
		return otherwise, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && 1 <= n && n <= listedMax
}
