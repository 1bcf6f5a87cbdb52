package gateway

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"sluice/hub"
)

// Options say how a Server behaves. The zero Options are a gateway as it should usually be. In
// every field zero stands for the default that is named there; where a number may be "none", a
// negative one says so. Sizes are in bytes.
type Options struct {
	// Loops is the number of event loops: one per core by default, at most 1024.
	Loops int
	// Pages answers paths other than /ws, /ws/{room}, /sse, /sse/{room}, /connection/websocket,
	// /livez and /readyz. Nil: all of it is not found (404). A body has to come with a
	// Content-Length.
	Pages http.Handler

	// Flush is how messages are handed to the kernel: many at a time where it can, and that costs
	// less.
	Flush Flush

	// PathPrefix is what all paths begin with, as /chat: WebSockets are at /chat/ws then, events at
	// /chat/sse, and Pages are asked without it. /livez and /readyz are answered both with it and
	// without. Other paths that do not begin with it are not found. It does not count for
	// ServeHTTP. None by default.
	PathPrefix string

	// AllowOrigin lists origins, as https://example.com[:port], https://*.example.com or file://,
	// that pages may connect from besides the gateway's own; "*" is any.
	AllowOrigin []string
	// AllowHost lists host names, as app.example.com or *.example.com, that are the gateway's own
	// besides localhost and addresses; "*" is any. Pages that say another in their Host header are
	// refused, and so are requests for Pages. Without a list any name is the gateway's own, unless
	// it listens on loopback addresses alone: then a page's owner could have the page's name lead
	// there. Unix sockets do not count, nor does ServeHTTP, of which the gateway does not know
	// where it listens.
	AllowHost []string
	// Auth tells who asks for a room; see package gateway/auth. Nil: nobody is known.
	Auth Authenticator
	// AuthCookie names a cookie in which browsers' pages may have their token.
	AuthCookie string
	// Anonymous is what those may do who are not known: by default nothing with Auth, and without
	// it everything but presence in every room.
	Anonymous []Grant
	// Subprotocols lists names of which the first that a client offers is answered. Of a browser
	// that offers some and is answered with none the connection fails. What they mean is between
	// clients.
	Subprotocols []string
	// ReusePort lets other processes that say so too listen on the same port at a time (Linux): the
	// kernel spreads connections over them by a hash. When one of them closes, what waits in its
	// queue is reset, unless net.ipv4.tcp_migrate_req is set.
	ReusePort bool
	// SocketMode and SocketGroup, a name or a number, say who may connect to the unix sockets that
	// are listened on: 0660 by default, and the group of the process.
	SocketMode  fs.FileMode
	SocketGroup string
	// TrustedProxy lists networks of proxies. MaxPerAddress and ConnectRate do not count
	// connections from there, nor by unix sockets, but the clients that those name: by
	// ForwardedHeader, which is believed of nobody else, or where ListenOptions.ProxyProtocol is
	// set.
	TrustedProxy []netip.Prefix
	// ForwardedHeader is the one by which they do, X-Forwarded-For by default. The rightmost
	// address in it that is not of TrustedProxy is the client.
	ForwardedHeader ForwardedHeader

	// TLS, TLSPairs and TLSClientCA are what connections to listeners with ListenOptions.TLS speak
	// by: a configuration of the program's, without NextProtos, of which HTTP/1.1 is the only one;
	// pairs of files, of which a client sees the one for the name that it asks for; and a file of
	// authorities, of one of which clients have to show a certificate. Files are read again when
	// they change, and by ReloadCertificates. Given together, the files are put into a copy of TLS.
	TLS         *tls.Config
	TLSPairs    []TLSPair
	TLSClientCA string

	MaxConnections     int   // connections at a time: 100,000
	MaxHTTPConnections int   // … of which ordinary requests may be under way at: 256
	MaxHead            int64 // request line and headers: 32 KiB, 1 KiB to 1 MiB
	AuthRequests       int   // questions to Auth at a time, if it has to ask in turn: 64; other clients wait
	HeadMemory         int64 // what all heads that are not whole may take together: 32 MiB, at least MaxHead
	MaxMessage         int64 // largest message: 1 MiB, at most 512 MiB
	MaxPerAddress      int   // connections from one address, of IPv6 one /64: no limit
	ConnectRate        int   // new connections a second, with bursts of as many: no limit
	MaxRooms           int   // rooms at a time: 1,000,000; none: any number
	MaxSubscriptions   int   // rooms at a time that one subscriber is in: 1,000
	MaxFragments       int   // frames that one message may come in: 131,072
	TLSHandshakes      int   // TLS handshakes that may wait for their clients' answers at a time: 4,096
	TLSRunning         int   // … that may be worked on at a time: half of the cores
	AssemblyMemory     int64 // what all unfinished messages may take together, and all unread replies: 256 MiB

	FrameRate   int   // frames a second from one client, beyond which it is closed: no limit
	PingRate    int   // pings a second from one client, beyond which it is closed: no limit
	MessageRate int   // messages, and commands of subscribers, a second that are taken from one client: no limit
	InflateRate int64 // bytes a second that one client's messages may inflate to, beside 32 for each byte sent: 4 MiB; none: any number
	ByteRate    int64 // bytes a second that are taken from one client, at least 16 KiB: no limit

	SlowPolicy    hub.Policy // what becomes of a client further behind than its room keeps
	RoomBacklog   int64      // bytes of messages that a room keeps for clients that are behind: 16 MiB, more than MaxMessage
	BacklogMemory int64      // memory of all rooms together: 512 MiB, at least RoomBacklog
	PinnedMemory  int64      // … of it what may be kept of dropped messages for clients inside them: 64 MiB, half of it at most
	MinReadRate   int64      // bytes a second a client has to read for senders to wait for it: 4 KiB; none: any
	PublishWindow int64      // how far senders may be ahead of most readers: 1 MiB, at most RoomBacklog
	UnsentBuffer  int64      // what may wait in the kernel unsent for one client: 64 KiB; none: the kernel's choice
	SendBuffer    int64      // the kernel's whole send buffer for one client: the kernel's choice
	ReplyBacklog  int64      // bytes of replies to one subscriber's commands that may wait for it to read: 1 MiB

	HandshakeTimeout time.Duration // from accepting a connection, or the first byte of a later request, to the end of the head: 10 s
	AssemblyTimeout  time.Duration // from the first byte of a message that comes in pieces to its last: 30 s
	PingInterval     time.Duration // silence after which a client is pinged: 30 s
	PongTimeout      time.Duration // how long a pinged client may stay silent: 15 s
	StallTimeout     time.Duration // how long a client may take none of the bytes that wait for it: 20 s
	SkipTimeout      time.Duration // the same under the policies skip and latest: 5 min
	CloseTimeout     time.Duration // how long a closing client has to take what it is owed: 5 s
	DrainDelay       time.Duration // for how long Drain goes on serving, with /readyz saying 503, before it stops accepting: none
	DrainTimeout     time.Duration // how long Drain takes at most, see there: 10 s
	MaxLifetime      time.Duration // after which a client is asked to come back, each up to a fifth earlier: never

	Rooms         []RoomRule    // what is different in some rooms
	History       []HistoryRule // what some rooms keep for those who come later: nothing
	HistoryMemory int64         // memory of all rooms that keep some, their backlogs included: 256 MiB, at least what one may keep and RoomBacklog; BacklogMemory is the others'
	NoCompression bool          // do not offer permessage-deflate, but where Rooms say so
	CompressMin   int64         // smallest message that is worth deflating: 256; none: each is deflated

	// Nodes are the other gateways of a cluster, which know who is in its rooms; what is asked
	// about clients is asked of all, and what is done to them is done on all. They are to be run
	// for Server.Node while it serves. Nil: this gateway is all there is.
	Nodes Nodes
	// Cluster is called by New, with the rooms that its Cluster is to fill. Nil: the gateway is
	// alone, and gives its rooms their order itself.
	Cluster func(Rooms) Cluster
	// ClusterTimeout is how long a publisher waits for an acknowledgement of the Cluster's: 10 s.
	ClusterTimeout time.Duration
	// CloseOnOutage has all clients closed with 1013, and new ones refused, when the Cluster cannot
	// be reached for ten seconds. Otherwise they stay, and publishers wait.
	CloseOnOutage bool

	// ExitOnPanic makes a fault of the gateway's own end the process. Otherwise it ends the
	// connection, the request or the room whose state it left in doubt, is logged with its stack,
	// and counted (Stats.Panics); one in a loop's own state ends the process in any case.
	ExitOnPanic bool
}

// An OptionError says what is wrong with one field of Options.
type OptionError struct {
	Field string // its name in Options
	Err   error
}

// Error implements error.
func (e *OptionError) Error() string { return fmt.Sprintf("gateway: Options.%s: %v", e.Field, e.Err) }

// Unwrap returns what is wrong, without the field's name.
func (e *OptionError) Unwrap() error { return e.Err }

// Defaults returns o with every default filled in. What is "none" stays negative.
func (o Options) Defaults() Options {
	c := &o
	setDefault(&c.Loops, runtime.GOMAXPROCS(0)) // which follows a container's limit of processors
	setDefault(&c.SocketMode, 0o660)
	setDefault(&c.MaxConnections, 100_000)
	setDefault(&c.MaxHTTPConnections, 256)
	setDefault(&c.AuthRequests, 64)
	setDefault(&c.MaxHead, 32<<10)
	setDefault(&c.HeadMemory, 32<<20)
	setDefault(&c.MaxMessage, 1<<20)
	setDefault(&c.MaxRooms, 1_000_000)
	setDefault(&c.MaxFragments, 131_072)
	setDefault(&c.AssemblyMemory, 256<<20)
	setDefault(&c.TLSHandshakes, 4096)
	setDefault(&c.TLSRunning, max(1, runtime.NumCPU()/2))
	setDefault(&c.InflateRate, 4<<20)
	setDefault(&c.RoomBacklog, 16<<20)
	setDefault(&c.BacklogMemory, 512<<20)
	setDefault(&c.PinnedMemory, 64<<20)
	setDefault(&c.PublishWindow, 1<<20)
	setDefault(&c.MinReadRate, 4<<10)
	setDefault(&c.UnsentBuffer, 64<<10)
	setDefault(&c.MaxSubscriptions, 1000)
	setDefault(&c.ReplyBacklog, 1<<20)
	setDefault(&c.HandshakeTimeout, 10*time.Second)
	setDefault(&c.AssemblyTimeout, 30*time.Second)
	setDefault(&c.PingInterval, 30*time.Second)
	setDefault(&c.PongTimeout, 15*time.Second)
	setDefault(&c.StallTimeout, 20*time.Second)
	setDefault(&c.SkipTimeout, 5*time.Minute)
	setDefault(&c.CloseTimeout, 5*time.Second)
	setDefault(&c.DrainTimeout, 10*time.Second)
	setDefault(&c.CompressMin, 256)
	setDefault(&c.ClusterTimeout, 10*time.Second)
	setDefault(&c.HistoryMemory, 256<<20)
	c.History = fillHistory(c.History)
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// ListenOptions say what is spoken on an address. The zero ListenOptions are plain HTTP and
// WebSockets.
type ListenOptions struct {
	// TLS: connections begin with a TLS handshake, by Options.TLS or TLSPairs.
	TLS bool
	// ProxyProtocol: they begin with a header of the PROXY protocol, version 1 or 2, in front of
	// TLS if there is any, and count for the address that it names. Only networks of
	// Options.TrustedProxy and unix sockets may connect: others are closed. What comes is not
	// guessed from, so this is never for an address that clients connect to themselves.
	ProxyProtocol bool
}

// A TLSPair names the files of a certificate, with those that it hangs from behind it, and of its
// key, both in PEM.
type TLSPair struct{ Cert, Key string }

// A Flush is how messages are handed to the kernel.
type Flush uint8

const (
	// FlushAuto is by FlushRing where the kernel can, and by FlushPlain elsewhere.
	FlushAuto Flush = iota
	// FlushPlain makes a system call for each client.
	FlushPlain
	// FlushRing makes one for up to 256 clients, by io_uring(7), where that costs less: when each
	// of them gets one message. A server that has no ring at its start is not made.
	FlushRing
)

var flushes = [...]string{FlushAuto: "auto", FlushPlain: "plain", FlushRing: "ring"}

// String returns its name.
func (f Flush) String() string { return flushes[f] }

// UnmarshalText takes its name, in any case.
func (f *Flush) UnmarshalText(text []byte) error {
	for i, name := range flushes {
		if strings.EqualFold(string(text), name) {
			*f = Flush(i)
			return nil
		}
	}
	return fmt.Errorf("%q is none of auto, plain and ring", text)
}
