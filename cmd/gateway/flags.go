package main

import (
	"io/fs"
	"strings"
	"time"

	"sluice/gateway"
	"sluice/hub"
)

// A Config is the command line: every field is a flag, and an environment variable of the same name
// in capitals behind SLUICE_ (SLUICE_MAX_MESSAGE for --max-message), and a key of the file that
// --config names. Flags win over the environment, and that over the file. The library's Options
// have the same fields, but there zero is a default: options translates.
type Config struct {
	ConfigFile string `name:"config" help:"A YAML file whose keys are flags' names, for what neither flags nor the environment say; rooms: {'ticker.*': {policy: latest}} is a table of --room. gateway config check FILE finds its faults." placeholder:"FILE" group:"Configuration"`

	Listen        []string `help:"Where to listen: host:port, [v6]:port, :port for all interfaces, unix:/path, or systemd: for the sockets that its socket unit passes (systemd:NAME for one). Repeatable. Default: :8080, unless --tls-listen is given." placeholder:"ADDRESS" group:"Listening"`
	TLSListen     []string `name:"tls-listen" help:"Where to listen for TLS, wss:// and https://, as --listen does. Repeatable." placeholder:"ADDRESS" group:"Listening"`
	ProxyProtocol []string `help:"Which of these addresses, written alike, begin with a PROXY protocol header, version 1 or 2, which names the client. Only networks of --trusted-proxy and unix sockets may connect there. Repeatable." placeholder:"ADDRESS" group:"Listening"`
	ReusePort     bool     `help:"Let another gateway that says so too listen on the same port, so that the next one can start before this one leaves (Linux). What waits in the queue of one that leaves is reset, unless net.ipv4.tcp_migrate_req is 1; systemd's sockets lose nothing." group:"Listening"`
	SocketMode    Mode     `help:"Permissions of unix sockets, in octal: whoever may write may connect." default:"0660" placeholder:"MODE" group:"Listening"`
	SocketGroup   string   `help:"Group of unix sockets, by name or number, such as the proxy's: www-data." placeholder:"GROUP" group:"Listening"`
	Loops         int      `help:"Event loops. 0 means one per core, and no more than a container's quota; fewer are calmer where others need the processors as well." default:"0" placeholder:"N" group:"Listening"`

	Flush      gateway.Flush `help:"How messages are handed to the kernel: plain, a system call for each client; ring, one for up to 256 of them, by io_uring (Linux 5.6), where each gets one message; auto, ring where the kernel and the container let it, else plain." default:"auto" placeholder:"HOW" group:"Listening"`
	Web        string        `help:"What paths without a WebSocket answer: demo, the page to try it with; off, nothing (404); or the files of a directory, such as ./public." default:"demo" placeholder:"demo|off|DIR" group:"Listening"`
	PathPrefix string        `help:"What all paths begin with, as /chat, where a proxy hands on no others: /chat/ws/{room}, /chat/sse/{room}. /livez and /readyz are answered without it too." placeholder:"/PATH" group:"Listening"`

	TLSCert       []string `name:"tls-cert" help:"A certificate's file in PEM, with those that it hangs from behind it. Repeatable, each with its key: clients see the one for the name that they ask for, and the first if they ask for none. Files are read again when they change." placeholder:"FILE" group:"TLS"`
	TLSKey        []string `name:"tls-key" help:"The key's file for each --tls-cert, in the same order." placeholder:"FILE" group:"TLS"`
	TLSClientCA   string   `name:"tls-client-ca" help:"A file of authorities in PEM: clients have to show a certificate of one of them." placeholder:"FILE" group:"TLS"`
	TLSHandshakes int      `name:"tls-handshakes" help:"TLS handshakes that may wait for their clients' answers at a time. Beyond it the one that has waited for longest is closed." default:"4096" placeholder:"N" group:"TLS"`
	TLSRunning    int      `name:"tls-handshakes-running" help:"TLS handshakes that may be worked on at a time. 0 means half of the cores." default:"0" placeholder:"N" group:"TLS"`

	AllowOrigin     []string                `help:"An Origin that pages may connect from besides the gateway's own, as https://example.com[:port], https://*.example.com, file://, or * for any. Repeatable." placeholder:"ORIGIN" group:"Admission"`
	AllowHost       []string                `help:"A host name that is the gateway's own besides localhost and addresses, as app.example.com, *.example.com, or * for any: pages under other names are refused. Without it any is, unless the gateway listens on loopback alone. The admin listener goes by it too, and without it by localhost and addresses. Repeatable." placeholder:"NAME" group:"Admission"`
	Subprotocol     []string                `help:"A subprotocol's name: of those that a client offers (new WebSocket(url, [\"mqtt\"])) the first that is listed is answered. What it means is between clients. Repeatable." placeholder:"NAME" group:"Admission"`
	TrustedProxy    []Proxy                 `help:"A network of proxies, as 192.0.2.0/24: who connects from there is believed about which client it speaks for, and that one counts for --max-per-address and --connect-rate. Unix sockets are trusted always, and may be said so: unix. Repeatable." placeholder:"CIDR" group:"Admission"`
	ForwardedHeader gateway.ForwardedHeader `help:"The header by which trusted proxies name the client: x-forwarded-for, forwarded (RFC 7239) or none. The rightmost address that is no trusted proxy's is the client's." default:"x-forwarded-for" placeholder:"NAME" group:"Admission"`
	AuthFlags

	Anonymous []gateway.Grant `help:"What those may do who are not known, in rooms whose names match, as 'chat.*=read,publish' or '*=read': read, publish, presence, history. Without it everything but presence in every room. Repeatable, or separated by semicolons." sep:";" placeholder:"PATTERN=WORD,…" group:"Who may do what"`

	MaxConnections     int  `help:"Connections at a time, lowered at start to what the descriptor limit allows." default:"100000" placeholder:"N" group:"Limits"`
	MaxHTTPConnections int  `name:"max-http-connections" help:"Ordinary HTTP requests that may be under way at a time." default:"256" placeholder:"N" group:"Limits"`
	MaxHead            Size `help:"Largest request head: the request line and all headers, cookies among them." default:"32KiB" placeholder:"SIZE" group:"Limits"`
	HeadMemory         Size `help:"What all request heads that are not whole may take together; each loop has its share. Beyond it the one that has taken longest is refused with 503." default:"32MiB" placeholder:"SIZE" group:"Limits"`
	MaxMessage         Size `help:"Largest message, in bytes or as 64KiB, 1MiB." default:"1MiB" placeholder:"SIZE" group:"Limits"`
	MaxPerAddress      int  `help:"Connections at a time from one address, of IPv6 one /64. Loopback and trusted proxies are not counted. 0 is no limit." default:"0" placeholder:"N" group:"Limits"`
	ConnectRate        int  `help:"New connections a second, with bursts of as many. Loopback and trusted proxies are not counted. 0 is no limit." default:"0" placeholder:"N" group:"Limits"`
	MaxRooms           int  `help:"Rooms at a time. Who would make one more is refused with 503. 0 is no limit." default:"1000000" placeholder:"N" group:"Limits"`
	MaxSubscriptions   int  `help:"Rooms that one client of /connection/websocket may be in at a time. One more is answered with error 106." default:"1000" placeholder:"N" group:"Limits"`
	MaxFragments       int  `help:"Frames that one message may come in. One in more is refused with 1008." default:"131072" placeholder:"N" group:"Limits"`
	AssemblyMemory     Size `help:"What all unfinished messages may take together. Each loop has its share, of three messages, a sixteenth of one and 80KiB at least, so that nobody is closed for what it holds alone. Beyond it one that holds much and does not go on is closed with 1013. Replies that clients of /connection/websocket do not read may take as much again; beyond that whoever holds most is cut." default:"256MiB" placeholder:"SIZE" group:"Limits"`

	FrameRate   int  `help:"Frames a second that one client may send. Beyond it and a burst of as many the client is closed with 1008. 0 is no limit." default:"0" placeholder:"N" group:"Rates"`
	PingRate    int  `help:"Pings a second that one client may send. Beyond it and a burst of as many the client is closed with 1008. 0 is no limit." default:"0" placeholder:"N" group:"Rates"`
	MessageRate int  `help:"Messages, and commands at /connection/websocket, a second that are taken from one client, with bursts of as many. Who sends more has to wait, and is closed with 1008 after ten seconds of it. 0 is no limit." default:"0" placeholder:"N" group:"Rates"`
	InflateRate Size `help:"Bytes a second that one client's compressed messages may inflate to, beside 32 for each byte that it sends. Beyond eight seconds' worth at once the client is closed with 1008. 0 is no limit." default:"4MiB" placeholder:"SIZE" group:"Rates"`
	ByteRate    Size `help:"Bytes a second that are taken from one client, with bursts of as many. Who sends more has to wait, and is closed with 1008 after ten seconds of it. 0 is no limit." default:"0" placeholder:"SIZE" group:"Rates"`

	SlowPolicy    hub.Policy `help:"What becomes of a client that is further behind than its room keeps: disconnect (Close 4008), skip (it goes on at the oldest message kept) or latest (at the newest)." default:"disconnect" placeholder:"POLICY" group:"Slow clients"`
	RoomBacklog   Size       `help:"What a room keeps for clients that have fallen behind, in bytes of messages. Must exceed --max-message." default:"16MiB" placeholder:"SIZE" group:"Slow clients"`
	BacklogMemory Size       `help:"Memory of all rooms together, of which messages take a little more than their bytes and tiny ones twice as much. Beyond it the largest room drops its oldest first, and at last its newest." default:"512MiB" placeholder:"SIZE" group:"Slow clients"`
	PinnedMemory  Size       `help:"What may be kept of dropped messages for clients that have got a part of one. Beyond it, or half of --backlog-memory, the client is cut that has been inside one for longest." default:"64MiB" placeholder:"SIZE" group:"Slow clients"`
	PublishWindow Size       `help:"How far a room's senders may be ahead of most of its readers before they have to wait." default:"1MiB" placeholder:"SIZE" group:"Slow clients"`
	MinReadRate   Size       `help:"How fast, in bytes a second, a client has to read for senders to wait for it: each byte it takes lets it be waited for as long as it takes to read one at this rate, 16 seconds at most. 0 waits for whoever takes anything." default:"4KiB" placeholder:"SIZE" group:"Slow clients"`
	UnsentBuffer  Size       `help:"What may wait in the kernel unsent for one client (TCP_NOTSENT_LOWAT). Leaves the congestion window alone. 0 leaves it to the kernel, which holds megabytes for each client that does not read." default:"64KiB" placeholder:"SIZE" group:"Slow clients"`
	SendBuffer    Size       `help:"The kernel's whole send buffer for one client (SO_SNDBUF), sent but not acknowledged bytes included. 0 leaves it to the kernel, which fits it to each connection: a fixed one caps every client at so much per round trip." default:"0" placeholder:"SIZE" group:"Slow clients"`
	ReplyBacklog  Size       `help:"Bytes of replies that may wait for one client of /connection/websocket to read them. One that asks on is closed with 3008." default:"1MiB" placeholder:"SIZE" group:"Slow clients"`

	HandshakeTimeout time.Duration `help:"From accepting a connection, or from the first byte of a later request on it, to the end of the request head." default:"10s" group:"Timeouts"`
	AssemblyTimeout  time.Duration `help:"From the first byte of a message that comes in pieces to its last. Later is refused with 1008." default:"30s" group:"Timeouts"`
	PingInterval     time.Duration `help:"Silence after which a client is pinged; up to a quarter earlier, each client at another time." default:"30s" group:"Timeouts"`
	PongTimeout      time.Duration `help:"How long a pinged client may stay silent." default:"15s" group:"Timeouts"`
	StallTimeout     time.Duration `help:"How long a client may take none of the bytes that wait for it." default:"20s" group:"Timeouts"`
	SkipTimeout      time.Duration `help:"The same under the policies skip and latest, which are for clients that may fall behind." default:"5m" group:"Timeouts"`
	CloseTimeout     time.Duration `help:"How long a closing client has to take what it is owed and the Close frame." default:"5s" group:"Timeouts"`
	DrainDelay       time.Duration `help:"On SIGTERM and SIGINT: for how long the gateway goes on as usual while /readyz says 503, so that balancers send nobody any more, before it stops accepting." default:"0s" group:"Timeouts"`
	DrainTimeout     time.Duration `help:"On SIGTERM and SIGINT: how long clients have to go before the gateway exits. After three quarters of it one that is behind gets the rest of its message and no more." default:"10s" group:"Timeouts"`

	MaxLifetime time.Duration `help:"How long a client may stay before it is closed with 1001, \"time to reconnect\", each up to a fifth earlier: so that connections move to a gateway that was added, and tokens are shown anew. 0 is for ever." default:"0" group:"Timeouts"`

	Room        []gateway.RoomRule `help:"What is different in rooms whose names match, as 'ticker.*=readonly,latest' or 'logs.*=skip,plain': readonly, where only backends with an API key publish; another slow policy; plain for no compression, deflate for some; presence, where it is kept who is there, for those who may ask; joins, where subscribers are told of who comes and goes as well; nopresence. * stands for anything. Of several that match each readonly counts, and of the rest the one with most before its first wildcard. Repeatable, or separated by semicolons." sep:";" placeholder:"PATTERN=WORD,…" group:"Rooms"`
	Compress    bool               `help:"Offer permessage-deflate: a message is deflated once for all of a room who take it." default:"true" negatable:"" group:"Rooms"`
	CompressMin Size               `help:"Smallest message that is worth deflating." default:"256B" placeholder:"SIZE" group:"Rooms"`

	History       []History `help:"What rooms whose names match keep for those who come later, as 'ticker.*=messages:1' or 'chat.*=messages:1000,bytes:4MiB,age:24h': the newest messages within all bounds. What is left out is any number of messages, 1MiB, 10m; none keeps nothing. Of several that match the one with most before its first wildcard counts. Repeatable, or separated by semicolons." sep:";" placeholder:"PATTERN=BOUND,…" group:"Rooms"`
	HistoryMemory Size      `help:"Memory of all rooms with a history, their backlogs included; --backlog-memory is the others'. Beyond it the room that keeps most beyond its need gives first." default:"256MiB" placeholder:"SIZE" group:"Rooms"`

	OnPanic string `help:"What a fault of the gateway's own ends: close, the connection or room whose state it left in doubt (1011), or exit, the process. One that leaves more in doubt ends the process in any case." enum:"close,exit" default:"close" placeholder:"close|exit" group:"Faults"`

	AdminListen      []string `help:"Where backends publish and operators look, over HTTP: host:port, which needs --admin-key-file, or unix:/path, which needs no key. Nowhere without it. Repeatable." placeholder:"ADDRESS" group:"Admin"`
	AdminKeyFile     string   `help:"A file with an API key on each line; gateway key makes one. Behind a key may stand patterns of the rooms that it is for." placeholder:"FILE" group:"Admin"`
	AdminSocketMode  Mode     `help:"Permissions of the admin listener's unix sockets, in octal: whoever may write needs no key." default:"0660" placeholder:"MODE" group:"Admin"`
	AdminSocketGroup string   `help:"Group of the admin listener's unix sockets, by name or number." placeholder:"GROUP" group:"Admin"`
	PublishRate      int      `help:"Messages a second that one API key may publish, in bursts of as many: 429 beyond. Those who need no key share one. 0 is no limit." default:"0" placeholder:"N" group:"Admin"`

	ClusterFlags

	LogFormat string `help:"text or json." enum:"text,json" default:"text" group:"Logging"`
	LogLevel  string `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info" group:"Logging"`
}

// options makes the library's options of the flags. What is zero on the command line is negative
// there, where zero would be the default: none where there may be none, refused where there may
// not.
func (c *Config) options() gateway.Options {
	return gateway.Options{
		Loops:              c.Loops, // Zero means the same in both.
		Flush:              c.Flush,
		PathPrefix:         strings.TrimSuffix(c.PathPrefix, "/"),
		AllowOrigin:        c.AllowOrigin,
		AllowHost:          c.AllowHost,
		AuthCookie:         c.AuthCookie,
		AuthRequests:       given(c.AuthRequests),
		Anonymous:          c.Anonymous,
		Subprotocols:       c.Subprotocol,
		TrustedProxy:       networks(c.TrustedProxy),
		ReusePort:          c.ReusePort,
		ForwardedHeader:    c.ForwardedHeader,
		TLSPairs:           c.pairs(),
		TLSClientCA:        c.TLSClientCA,
		TLSHandshakes:      given(c.TLSHandshakes),
		TLSRunning:         c.TLSRunning, // Zero means the same in both.
		SocketMode:         fs.FileMode(c.SocketMode),
		SocketGroup:        c.SocketGroup,
		MaxConnections:     given(c.MaxConnections),
		MaxHTTPConnections: given(c.MaxHTTPConnections),
		MaxHead:            int64(given(c.MaxHead)),
		HeadMemory:         int64(given(c.HeadMemory)),
		MaxMessage:         int64(given(c.MaxMessage)),
		MaxPerAddress:      c.MaxPerAddress,
		ConnectRate:        c.ConnectRate,
		MaxRooms:           given(c.MaxRooms),
		MaxSubscriptions:   given(c.MaxSubscriptions),
		MaxFragments:       given(c.MaxFragments),
		AssemblyMemory:     int64(given(c.AssemblyMemory)),
		FrameRate:          c.FrameRate,
		PingRate:           c.PingRate,
		MessageRate:        c.MessageRate,
		InflateRate:        int64(given(c.InflateRate)),
		ByteRate:           int64(c.ByteRate),
		SlowPolicy:         c.SlowPolicy,
		RoomBacklog:        int64(given(c.RoomBacklog)),
		BacklogMemory:      int64(given(c.BacklogMemory)),
		PinnedMemory:       int64(given(c.PinnedMemory)),
		PublishWindow:      int64(given(c.PublishWindow)),
		MinReadRate:        int64(given(c.MinReadRate)),
		UnsentBuffer:       int64(given(c.UnsentBuffer)),
		SendBuffer:         int64(given(c.SendBuffer)),
		ReplyBacklog:       int64(given(c.ReplyBacklog)),
		HandshakeTimeout:   given(c.HandshakeTimeout),
		AssemblyTimeout:    given(c.AssemblyTimeout),
		PingInterval:       given(c.PingInterval),
		PongTimeout:        given(c.PongTimeout),
		StallTimeout:       given(c.StallTimeout),
		SkipTimeout:        given(c.SkipTimeout),
		CloseTimeout:       given(c.CloseTimeout),
		DrainDelay:         c.DrainDelay,
		DrainTimeout:       given(c.DrainTimeout),
		MaxLifetime:        c.MaxLifetime,
		Rooms:              c.Room,
		NoCompression:      !c.Compress,
		CompressMin:        int64(given(c.CompressMin)),
		History:            historyRules(c.History),
		HistoryMemory:      int64(given(c.HistoryMemory)),
		ClusterTimeout:     given(c.ClusterPublishTimeout),
		CloseOnOutage:      c.ClusterOutage == "close",
		ExitOnPanic:        c.OnPanic != "close",
	}
}

// pairs are the certificates and keys, by their order.
func (c *Config) pairs() []gateway.TLSPair {
	all := make([]gateway.TLSPair, max(len(c.TLSCert), len(c.TLSKey)))
	for i, name := range c.TLSCert {
		all[i].Cert = name
	}
	for i, name := range c.TLSKey {
		all[i].Key = name
	}
	return all
}

func given[T int | Size | time.Duration](value T) T {
	if value == 0 {
		return -1
	}
	return value
}

// delayMax is the longest delay that the library takes.
const delayMax = 1000 * time.Hour

// mostHistory is what one room may keep by the widest rule.
func (c *Config) mostHistory() (most Size) {
	for _, h := range c.options().Defaults().History {
		most = max(most, Size(h.Bytes))
	}
	return max(most, 1)
}
