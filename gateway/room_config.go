package gateway

import (
	"path"

	"sluice/hub"
)

// matching yields the rules that speak of the room; it makes an iter.Seq.
func (c *config) matching(room string) func(yield func(*RoomRule) bool) {
	return func(yield func(*RoomRule) bool) {
		for i := range c.Rooms {
			ok, _ := path.Match(c.Rooms[i].Pattern, room) // prepare has held the pattern to its syntax.
			if ok && !yield(&c.Rooms[i]) {
				return
			}
		}
	}
}

// mostSpecific is the rule that counts for the room among those that speak of something, nil if
// none does.
func (c *config) mostSpecific(room string, speaks func(*RoomRule) bool) (rule *RoomRule) {
	for r := range c.matching(room) {
		if speaks(r) && (rule == nil || literalLen(r.Pattern) > literalLen(rule.Pattern)) {
			rule = r
		}
	}
	return rule
}

// policyOf is the slow policy of the room.
func (c *config) policyOf(room string) hub.Policy {
	if r := c.mostSpecific(room, func(r *RoomRule) bool { return r.HasPolicy }); r != nil {
		return r.Policy
	}
	return c.SlowPolicy
}

// deflates reports whether clients of the room are offered compression.
func (c *config) deflates(room string) bool {
	if r := c.mostSpecific(room, (*RoomRule).speaksOfDeflating); r != nil {
		return r.Deflate
	}
	return !c.NoCompression
}

// presenceOf is whether the room keeps who is there, and whether those who are hear of who comes
// and goes.
func (c *config) presenceOf(room string) (isKept, tellsJoins bool) {
	r := c.mostSpecific(room, (*RoomRule).speaksOfPresence)
	if r == nil || r.NoPresence {
		return false, false
	}
	return true, r.Joins
}

// denied is what nobody may do in the room, whatever grants say, but who has an API key.
func (c *config) denied(room string) (all Permission) {
	for r := range c.matching(room) {
		if r.ReadOnly {
			all |= Publish
		}
	}
	return all
}

// permissions is the one place that decides what p may do in a room, for every way in: what it was
// granted, less what the room's rules deny to everybody but backends. What nobody granted is
// denied.
func (c *config) permissions(p *Principal, room string) Permission {
	may := p.granted(room)
	if p.Kind != KindKey {
		may &^= c.denied(room)
	}
	return may
}

// allows reports whether p may do all of want in the room.
func (c *config) allows(p *Principal, room string, want Permission) bool {
	return c.permissions(p, room)&want == want
}

// makeAnonymous is who is not known: it may do what Options.Anonymous says. Without that it may do
// nothing if there is an authenticator, and otherwise everything but to know who is there.
func (c *config) makeAnonymous() Principal {
	if c.isOpen() {
		return Principal{Grants: []Grant{{Rooms: []string{"*"}, May: everything &^ Presence}}}
	}
	return Principal{Grants: c.Anonymous}
}

// isOpen reports whether nobody has to be known, and nothing is said of what those who are not may
// do.
func (c *config) isOpen() bool { return c.Anonymous == nil && c.Auth == nil }

// historyRule is the rule that counts for the room, nil if none does.
func (c *config) historyRule(room string) (rule *HistoryRule) {
	for i := range c.History {
		r := &c.History[i]
		ok, _ := path.Match(r.Pattern, room) // checkHistory has held the pattern to its syntax.
		if ok && (rule == nil || literalLen(r.Pattern) > literalLen(rule.Pattern)) {
			rule = r
		}
	}
	return rule
}

// historyOf is what the room keeps, as the hub knows it.
func (c *config) historyOf(room string) hub.History {
	r := c.historyRule(room)
	if r == nil || r.None {
		return hub.History{}
	}
	return hub.History{Messages: r.Messages, Bytes: r.Bytes, Age: r.Age}
}
