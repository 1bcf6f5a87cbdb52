package natsbroker

import (
	"testing"

	"pgregory.net/rapid"
)

func TestRoomsWithDotsAreOneTokenOfTheirSubject(t *testing.T) {
	for room, want := range map[string]string{
		"lobby": "sluice.in.0.lobby", "a.b": "sluice.in.0.a,b", "a..b": "sluice.in.0.a,,b", "~x:y-_.": "sluice.in.0.~x:y-_,",
	} {
		if s := subject(subjectIn, room, 1); s != want {
			t.Errorf("%q: %q, want %q", room, s, want)
		}
	}
}

func TestSubjectsOfRoomsAreOfNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards := rapid.IntRange(1, 9).Draw(t, "shards")
		room := rapid.StringMatching(`[A-Za-z0-9_.:~-]{1,64}`).Draw(t, "room")
		if back := roomOf(subjectOut, subject(subjectOut, room, shards)); back != room {
			t.Errorf("%q came back as %q", room, back)
		}
	})
	for _, s := range []string{"", "sluice.out.", "sluice.out.0", "sluice.out.0.a.b", "sluice.in.0.a", "other"} {
		if room := roomOf(subjectOut, s); room != "" {
			t.Errorf("%q is of room %q", s, room)
		}
	}
}

// Gateways of different builds have to agree: these are FNV-1a's own figures, modulo 1,000.
func TestShardsAreWhatTheyWere(t *testing.T) {
	for room, want := range map[string]int{"": 2166136261 % 1000, "a": 0xe40c292c % 1000, "foobar": 0xbf9cf968 % 1000} {
		if n := shardOf(room, 1000); n != want {
			t.Errorf("%q: shard %d, want %d", room, n, want)
		}
	}
}
