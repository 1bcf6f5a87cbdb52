package admin

import (
	"runtime"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway"
	"sluice/hub"
	"sluice/reactor"
	"sluice/wsproto"
)

// A metric is a line of the table: a name for good, since people's dashboards hold it.
// docs/metrics.md explains each, and a test holds the two together.
type metric struct {
	name, help string
	labels     []string
	isAlways   bool // told even if the loops do not answer
	collect    func(*reading, *prometheus.Desc, chan<- prometheus.Metric)
}

// table lists the gateway's own metrics, in the order of docs/metrics.md.
var table = []metric{
	// The server.
	gauge("sluice_build_info", "The version that runs; always 1.", []string{"version", "goversion"}, func(r *reading, put put) {
		put(1, r.version, runtime.Version())
	}).always(),
	single("sluice_ready", "1 while new clients should be sent here: what /readyz says.", func(r *reading) float64 { return number(r.isReady) }).always(),
	single("sluice_answers", "1 if all loops answered this scrape in time; if not, most other metrics are left out.", func(r *reading) float64 { return number(r.hasAnswered) }).always(),
	count("sluice_log_lines_dropped_total", "Log lines lost because whoever reads the log is too slow, or writing failed.", func(r *reading) uint64 { return r.dropped }).always(),
	count("sluice_panics_total", "Faults of the gateway itself that ended a connection, a request or a room.", func(r *reading) uint64 { return r.Panics }),
	count("sluice_broken_invariants_total", "Invariants of the gateway itself that did not hold.", func(r *reading) uint64 { return r.Broken }),

	// Connections.
	single("sluice_connections", "Connections that exist, ordinary HTTP included.", func(r *reading) float64 { return float64(r.Connections) }),
	single("sluice_http_connections", "Connections with an ordinary HTTP request under way.", func(r *reading) float64 { return float64(r.HTTPConnections) }),
	count("sluice_accepted_total", "Connections accepted.", func(r *reading) uint64 { return r.Accepted }),
	count("sluice_taken_over_total", "Connections taken over from a program's own server.", func(r *reading) uint64 { return r.TakenOver }),
	count("sluice_moved_total", "Times a connection went to the loop where its room is at home.", func(r *reading) uint64 { return r.Moved }),
	count("sluice_handshakes_total", "WebSocket handshakes answered with 101.", func(r *reading) uint64 { return r.Upgrades }),
	count("sluice_early_handshakes_total", "Handshakes with frames right behind them, in the same packet.", func(r *reading) uint64 { return r.EarlyBytes }),
	count("sluice_event_streams_total", "Requests for events answered with a stream of them.", func(r *reading) uint64 { return r.Streams }),
	count("sluice_subscribers_total", "WebSocket handshakes for the protocol for many rooms.", func(r *reading) uint64 { return r.Subscribers }),
	count("sluice_commands_total", "Commands of subscribers.", func(r *reading) uint64 { return r.Commands }),
	count("sluice_command_errors_total", "Of them: those that were answered with an error.", func(r *reading) uint64 { return r.CommandErrors }),
	count("sluice_subscriptions_begun_total", "Times a subscriber entered a room.", func(r *reading) uint64 { return r.Subscribed }),
	count("sluice_subscriptions_ended_total", "Times a subscriber left a room, by itself or with its connection.", func(r *reading) uint64 { return r.Unsubscribed }),
	count("sluice_subscription_gaps_total", "Times a subscriber missed messages in a room whose offsets it counts, and was told.", func(r *reading) uint64 { return r.Gaps }),
	count("sluice_members_reset_total", "Times a client was told that its room has begun anew.", func(r *reading) uint64 { return r.Hub.Reset }),
	count("sluice_members_reset_untold_total", "Times one could not be: its room keeps nothing.", func(r *reading) uint64 { return r.Untold }),
	count("sluice_unacknowledged_total", "Publishers that were not told in time that the cluster has their message.", func(r *reading) uint64 { return r.Unacknowledged }),
	count("sluice_joins_told_total", "Times a subscriber was told of a client that came to its room or left it.", func(r *reading) uint64 { return r.JoinsTold }),
	count("sluice_joins_dropped_total", "Times it was not, because of a bound.", func(r *reading) uint64 { return r.JoinsDropped }),
	count("sluice_tls_handshakes_total", "TLS handshakes that succeeded.", func(r *reading) uint64 { return r.TLS.Handshakes }),
	count("sluice_tls_resumed_total", "Of them: those that resumed an earlier session.", func(r *reading) uint64 { return r.TLS.Resumed }),
	counts("sluice_tls_failures_total", "TLS handshakes that failed, by reason.", []string{"reason"}, func(r *reading, put put) {
		for reason, n := range r.TLS.Failed {
			put(float64(n), gateway.TLSFailure(reason).String())
		}
	}),
	count("sluice_tls_truncated_total", "WebSockets over TLS whose stream ended without close_notify.", func(r *reading) uint64 { return r.TLS.Truncated }),
	single("sluice_tls_certificate_expires_seconds", "When the first certificate that is shown expires, in seconds since 1970; 0 without any.", func(r *reading) float64 { return float64(r.TLS.Expires) }),
	gauge("sluice_tls_handshaking", "TLS handshakes under way: waiting for their client's bytes (parked), or worked on (running).", []string{"state"}, func(r *reading, put put) {
		put(float64(r.TLS.Parked), "parked")
		put(float64(r.TLS.Running), "running")
	}),
	count("sluice_http_requests_total", "Ordinary requests given to net/http, health checks left out.", func(r *reading) uint64 { return r.Lent }),
	counts("sluice_refusals_total", "Requests and connections refused with an HTTP status, by reason.", []string{"reason"}, func(r *reading, put put) {
		for reason := wsproto.Reason(1); reason < wsproto.NumReasons; reason++ {
			put(float64(r.Refusals[reason]), reason.String())
		}
	}),
	count("sluice_rejected_total", "Of the refusals: connections turned away at a limit, before their request was read.", func(r *reading) uint64 { return r.Rejected }),
	counts("sluice_closes_total", "Connections that ended, by reason.", []string{"reason"}, func(r *reading, put put) {
		for reason, n := range r.Closed {
			put(float64(n), gateway.CloseReason(reason).String())
		}
	}),
	count("sluice_cut_short_total", "Connections closed in order whose clients went on sending beyond all bounds.", func(r *reading) uint64 { return r.CutShort }),
	count("sluice_accept_failures_total", "Connections that were gone, or failed, before they were accepted.", func(r *reading) uint64 { return r.AcceptFailed }),
	count("sluice_accept_rests_total", "Times accepting rested: no descriptors or memory, or failures in a row.", func(r *reading) uint64 { return r.AcceptPaused }),
	count("sluice_watch_failures_total", "Accepted connections that the kernel would not watch.", func(r *reading) uint64 { return r.RegisterFailed }),
	count("sluice_kernel_shortages_total", "System calls put off because the kernel had no memory for them.", func(r *reading) uint64 { return r.PutOff }),

	// Messages.
	single("sluice_rooms", "Rooms that exist.", func(r *reading) float64 { return float64(r.Rooms) }),
	single("sluice_members", "Connections in rooms, publishers that hear nothing included.", func(r *reading) float64 { return float64(r.Members) }),
	single("sluice_event_readers", "Of them: those that read events.", func(r *reading) float64 { return float64(r.Readers) }),
	count("sluice_messages_received_total", "Messages that clients sent.", func(r *reading) uint64 { return r.Messages }),
	count("sluice_messages_published_total", "Messages that came from outside, by the admin API or a program.", func(r *reading) uint64 { return r.Published }),
	count("sluice_messages_sent_total", "Messages from outside to one client alone.", func(r *reading) uint64 { return r.Sent }),
	count("sluice_received_bytes_total", "Bytes that clients sent, request heads included, bodies of ordinary requests left out.", func(r *reading) uint64 { return r.Received }),
	count("sluice_messages_owed_total", "Messages published, each once for every member there: it becomes one of the next three.", func(r *reading) uint64 { return r.Hub.Owed }),
	count("sluice_messages_delivered_total", "Messages handed to the kernel whole, once per client: deliveries.", func(r *reading) uint64 { return r.Hub.Delivered }),
	count("sluice_messages_skipped_total", "Messages that clients jumped over, by the policies skip and latest.", func(r *reading) uint64 { return r.Hub.Skipped }),
	count("sluice_messages_ended_early_total", "Messages not delivered whole when their client left.", func(r *reading) uint64 { return r.Hub.Ended }),
	count("sluice_delivered_bytes_total", "Bytes of rooms' messages that the kernel took.", func(r *reading) uint64 { return r.Bytes }),
	count("sluice_own_sent_bytes_total", "Bytes sent beside rooms' messages: answers, pings, pongs, Close frames.", func(r *reading) uint64 { return r.OwnBytes }),
	count("sluice_writes_total", "Writes of rooms' messages: system calls, on plain connections.", func(r *reading) uint64 { return r.Writes }),
	count("sluice_writes_refused_total", "Writes that the kernel did not take whole.", func(r *reading) uint64 { return r.Refused }),
	count("sluice_deflated_messages_total", "Messages deflated, each once for its room.", func(r *reading) uint64 { return r.Deflated }),
	count("sluice_deflated_from_bytes_total", "Their bytes before.", func(r *reading) uint64 { return r.DeflatedFrom }),
	count("sluice_deflated_to_bytes_total", "Their bytes after.", func(r *reading) uint64 { return r.DeflatedTo }),

	// Lag.
	{
		name: "sluice_member_lag_bytes", help: "Members by how many bytes they are behind their rooms now: of this moment, so to be used without rate().",
		collect: func(r *reading, d *prometheus.Desc, to chan<- prometheus.Metric) {
			buckets, sum := map[float64]uint64{}, uint64(0)
			for i, bound := range gateway.LagBounds {
				sum += r.Lags[i]
				buckets[float64(bound)] = sum
			}
			to <- prometheus.MustNewConstHistogram(d, uint64(r.Members), float64(r.LagSum), buckets)
		},
	},
	single("sluice_members_blocked", "Members whose kernel did not take all, and that have not caught up since.", func(r *reading) float64 { return float64(r.Blocked) }),
	single("sluice_members_slow", "Members that are slow now: beyond half of the backlog for ten seconds.", func(r *reading) float64 { return float64(r.Slow) }),
	count("sluice_blocked_total", "Times a member was blocked.", func(r *reading) uint64 { return r.Hub.Blocked }),
	count("sluice_slow_total", "Times a member became slow.", func(r *reading) uint64 { return r.Hub.Slow }),
	count("sluice_recovered_total", "Times a slow member caught up again.", func(r *reading) uint64 { return r.Hub.CaughtUp }),
	counts("sluice_overrun_total", "Times the log dropped what a member still needed, by its room's policy.", []string{"policy"}, func(r *reading, put put) {
		for policy, n := range r.Hub.Overrun {
			put(float64(n), hub.Policy(policy).String())
		}
	}),
	count("sluice_unpinned_total", "Members given up because dropped frames took too much memory.", func(r *reading) uint64 { return r.Hub.Unpinned }),
	count("sluice_kernel_queries_total", "Times the kernel was asked what a blocked client has taken.", func(r *reading) uint64 { return r.Asked }),
	gauge("sluice_senders_held", "Senders not read on now: their room is full or others are before them (room), or they are over a rate (rate).", []string{"by"}, func(r *reading, put put) {
		put(float64(r.State.HeldByRoom), "room")
		put(float64(r.State.HeldByRate), "rate")
	}),
	counts("sluice_senders_held_total", "Times a sender was not read on.", []string{"by"}, func(r *reading, put put) {
		put(float64(r.Paused), "room")
		put(float64(r.Throttled), "rate")
	}),
	counts("sluice_senders_held_seconds_total", "For how long senders were not read on, all together.", []string{"by"}, func(r *reading, put put) {
		put(r.Stats.HeldByRoom.Seconds(), "room")
		put(r.Stats.HeldByRate.Seconds(), "rate")
	}),

	// Memory.
	single("sluice_room_logs_bytes", "Memory of all rooms' logs.", func(r *reading) float64 { return float64(r.RoomLogs) }),
	single("sluice_room_logs_limit_bytes", "What they may take now: --backlog-memory, and --history-memory if there is --history, or less while memory is short.", func(r *reading) float64 { return float64(r.RoomLogsMax) }),
	single("sluice_room_logs_pinned_bytes", "Of it: dropped frames kept for clients in the middle of them.", func(r *reading) float64 { return float64(r.Pinned) }),
	count("sluice_room_logs_dropped_total", "Times a room dropped something because all rooms took too much.", func(r *reading) uint64 { return r.RoomLogDrops }),
	single("sluice_memory_step", "What is done about memory running short: 0 nothing, 1 rooms keep less, 2 no new rooms, 3 no new connections, 4 the largest rooms drop.", func(r *reading) float64 { return float64(r.MemoryStep) }),

	// Histories.
	single("sluice_history_rooms", "Rooms that keep messages for those who come later.", func(r *reading) float64 { return float64(r.Histories.Rooms) }),
	single("sluice_history_messages", "Messages that they keep.", func(r *reading) float64 { return float64(r.Histories.Messages) }),
	single("sluice_history_source_bytes", "Bytes of these, each once, whatever it is encoded in.", func(r *reading) float64 { return float64(r.Histories.Bytes) }),
	single("sluice_history_memory_bytes", "Memory of these rooms' logs, which sluice_room_logs_bytes has too.", func(r *reading) float64 { return float64(r.Histories.Memory) }),
	single("sluice_history_memory_limit_bytes", "What they may take now: --history-memory, or less while memory is short.", func(r *reading) float64 { return float64(r.Histories.Limit) }),
	count("sluice_history_dropped_total", "Times one of them dropped something because all together took too much.", func(r *reading) uint64 { return r.Histories.Drops }),
	counts("sluice_joins_total", "Clients that joined a room to hear it, by what became of where they asked to begin: live is at the end.", []string{"answer"}, func(r *reading, put put) {
		for answer, n := range r.Hub.Joined {
			put(float64(n), strings.ReplaceAll(hub.Answer(answer).String(), " ", "_"))
		}
	}),
	single("sluice_members_catching_up", "Members that began with what was kept, and have not come to the end of it.", func(r *reading) float64 { return float64(r.Histories.CatchingUp) }),
	count("sluice_history_encodings_built_total", "Times what a room keeps was encoded for the first one who reads it so.", func(r *reading) uint64 { return r.Histories.Built }),
	count("sluice_history_frames_built_total", "Messages encoded so.", func(r *reading) uint64 { return r.Histories.BuiltFrames }),

	// The other nodes of a cluster.
	single("sluice_nodes", "Gateways of the cluster that are there, this one included; 0: it is in none.", func(r *reading) float64 { return float64(r.Notes.Nodes) }),
	count("sluice_nodes_came_total", "Times another node was heard of first.", func(r *reading) uint64 { return r.Notes.Came }),
	count("sluice_nodes_gone_total", "Times a node left, or nothing was heard of it for 6 seconds.", func(r *reading) uint64 { return r.Notes.Gone }),
	count("sluice_node_reports_total", "Reports of this node's rooms sent to the others.", func(r *reading) uint64 { return r.Notes.Reports }),
	count("sluice_node_reports_lost_total", "Times a part of another node's reports was missing, and it was asked for all.", func(r *reading) uint64 { return r.Notes.Lost }),
	count("sluice_node_notes_refused_total", "Notes of other nodes that were not understood, of another version or no node's, or of a node beyond 256.", func(r *reading) uint64 { return r.Notes.Refused }),
	count("sluice_node_notes_unsent_total", "Notes that could not be sent: there was no NATS server, or they were too large.", func(r *reading) uint64 { return r.Notes.Unsent }),
	count("sluice_node_rooms_beyond_total", "Rooms left out of reports, or of what is known of others, because there are too many, each time.", func(r *reading) uint64 { return r.Notes.Beyond }),
	count("sluice_node_questions_total", "Questions put to all other nodes: who is in a room, whom to disconnect.", func(r *reading) uint64 { return r.Notes.Asked }),
	count("sluice_node_unanswered_total", "Answers to them that did not come in time, of each node, while who asked was there.", func(r *reading) uint64 { return r.Notes.Unanswered }),

	// Loops.
	{
		name: "sluice_loop_tick_seconds", help: "For how long a loop was busy at a time, from the end of a wait to the next.",
		collect: func(r *reading, d *prometheus.Desc, to chan<- prometheus.Metric) {
			buckets, sum := map[float64]uint64{}, uint64(0)
			for i, bound := range reactor.TickBounds {
				sum += r.Loop.TickTimes.Counts[i]
				buckets[bound.Seconds()] = sum
			}
			sum += r.Loop.TickTimes.Counts[len(reactor.TickBounds)]
			to <- prometheus.MustNewConstHistogram(d, sum, r.Loop.TickTimes.Sum.Seconds(), buckets)
		},
	},
	counts("sluice_loop_busy_seconds_total", "For how long a loop was busy in all.", []string{"loop"}, func(r *reading, put put) {
		for no, l := range r.Loops {
			put(l.Busy.Seconds(), strconv.Itoa(no))
		}
	}),
	gauge("sluice_loop_connections", "Connections of a loop, and its listeners.", []string{"loop"}, func(r *reading, put put) {
		for no, l := range r.Loops {
			put(float64(l.Connections), strconv.Itoa(no))
		}
	}),
	gauge("sluice_loop_ring", "1 if a loop makes many writes in one system call, by io_uring, where that costs less.", []string{"loop"}, func(r *reading, put put) {
		for no, l := range r.Loops {
			put(number(l.HasRing), strconv.Itoa(no))
		}
	}),
	count("sluice_ring_calls_total", "System calls that made many writes each, by io_uring.", func(r *reading) uint64 { return r.RingCalls }),
	count("sluice_ring_writes_total", "Writes that they made.", func(r *reading) uint64 { return r.RingWrites }),
	count("sluice_loop_ticks_total", "Passes of all loops.", func(r *reading) uint64 { return r.Loop.Ticks }),
	count("sluice_loop_events_total", "Events that loops handled.", func(r *reading) uint64 { return r.Loop.Events }),
	count("sluice_loop_stale_events_total", "Events of connections that had closed in the same tick.", func(r *reading) uint64 { return r.Loop.StaleEvents }),
	count("sluice_loop_wakes_total", "Times a loop was called out of a wait by another goroutine.", func(r *reading) uint64 { return r.Loop.Wakes }),
	count("sluice_loop_pauses_total", "Times the whole process stood still.", func(r *reading) uint64 { return r.Loop.Pauses }),
}

// put tells one series' value.
type put func(value float64, labels ...string)

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// single is a gauge without labels.
func single(name, help string, value func(*reading) float64) metric {
	return gauge(name, help, nil, func(r *reading, put put) { put(value(r)) })
}

// count is a counter without labels.
func count(name, help string, value func(*reading) uint64) metric {
	return counts(name, help, nil, func(r *reading, put put) { put(float64(value(r))) })
}

func gauge(name, help string, labels []string, each func(*reading, put)) metric {
	return of(prometheus.GaugeValue, name, help, labels, each)
}

func counts(name, help string, labels []string, each func(*reading, put)) metric {
	return of(prometheus.CounterValue, name, help, labels, each)
}

func of(kind prometheus.ValueType, name, help string, labels []string, each func(*reading, put)) metric {
	return metric{name: name, help: help, labels: labels, collect: func(r *reading, d *prometheus.Desc, to chan<- prometheus.Metric) {
		each(r, func(value float64, labels ...string) { to <- prometheus.MustNewConstMetric(d, kind, value, labels...) })
	}}
}

func (m metric) always() metric {
	m.isAlways = true
	return m
}
