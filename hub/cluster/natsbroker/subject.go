package natsbroker

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// Subjects are sluice.in.<shard>.<room>, into which gateways publish, and
// sluice.out.<shard>.<room>, on which the stream republishes. A room's name is one token: its dots
// are commas there, which no name has; nor has it the wildcards or spaces that NATS would make
// something else of.
const (
	subjectIn  = "sluice.in."
	subjectOut = "sluice.out."
)

var toToken, fromToken = strings.NewReplacer(".", ","), strings.NewReplacer(",", ".")

// token is the room's name as one token of a subject.
func token(room string) string { return toToken.Replace(room) }

// shardOf is the number of the stream that has the room's order: FNV-1a of its name, modulo the
// number of streams, which is fixed when they are made.
func shardOf(room string, shards int) int {
	h := fnv.New32a()
	h.Write([]byte(room))
	return int(h.Sum32() % uint32(shards))
}

// subject is the room's subject behind a prefix.
func subject(prefix, room string, shards int) string {
	return prefix + strconv.Itoa(shardOf(room, shards)) + "." + token(room)
}

// roomOf is the room of a subject that begins with the prefix; empty if it is none.
func roomOf(prefix, subject string) string {
	rest, ok := strings.CutPrefix(subject, prefix)
	_, name, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(name, ".") {
		return ""
	}
	return fromToken.Replace(name)
}
