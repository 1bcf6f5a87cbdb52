package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"sluice/gateway"
)

// Claims are what is known of somebody. Channels, Subs, Channel and Info are under Centrifugo's
// names: rooms that a client of the protocol is subscribed to from the beginning; the only room
// that a token is for; what others are told of the client. Each room that is named so may be heard.
// A claim that is not here is not looked at.
type Claims struct {
	jwt.RegisteredClaims
	Caps     []Cap                      `json:"caps,omitempty"`
	Channels []string                   `json:"channels,omitempty"`
	Subs     map[string]json.RawMessage `json:"subs,omitempty"`
	Channel  string                     `json:"channel,omitempty"`
	Info     json.RawMessage            `json:"info,omitempty"`
}

var (
	errInfo    = fmt.Errorf("its info has more than %d bytes, or is nested more than %d deep", gateway.InfoMax, infoDepth)
	errTime    = errors.New("its exp or nbf is no time that can be told: it is in seconds since 1970")
	errChannel = errors.New("its channel is a pattern, and it has to be the name of one room")
)

// infoDepth is how deep info may be nested: some clients' parsers take no more than some hundreds.
const infoDepth = 64

// Validate holds to its limits what can be held to some; jwt.Parser calls it behind its own checks.
func (c *Claims) Validate() error {
	switch {
	case len(c.Info) > gateway.InfoMax || depth(c.Info) > infoDepth:
		return errInfo
	case isPattern(c.Channel):
		return errChannel
	case !isTime(c.ExpiresAt) || !isTime(c.NotBefore):
		return errTime
	}
	return nil
}

// isTime reports whether a time can be compared with others: behind timeMax, in seconds, those wrap
// around, and who is to be let in for ever would have come too late.
func isTime(d *jwt.NumericDate) bool {
	const timeMax = 1 << 62
	return d == nil || -timeMax < d.Unix() && d.Unix() < timeMax
}

// depth is how deep valid JSON is nested.
func depth(text []byte) (most int) {
	for now, dec := 0, json.NewDecoder(bytes.NewReader(text)); ; {
		token, err := dec.Token()
		if err != nil {
			return most
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			now++
			most = max(most, now)
		case json.Delim('}'), json.Delim(']'):
			now--
		}
	}
}

// told is the info as it is passed on: without blanks, a line feed would end a message of the
// protocol.
func (c *Claims) told() []byte {
	var compact bytes.Buffer
	if json.Compact(&compact, c.Info) != nil || compact.String() == "null" {
		return nil
	}
	return compact.Bytes()
}

// A Cap grants something in the rooms of some patterns: "read", "publish", "presence", "history".
// Other words grant nothing.
type Cap struct {
	Rooms []string `json:"rooms"`
	May   []string `json:"may"`
}

// Valid judges their times as a gateway would whose clock is right: nbf and exp.
func (c *Claims) Valid() error {
	return jwt.NewValidator(jwt.WithLeeway(leewayDefault)).Validate(c)
}

// Grants are what the claims come to.
func (c *Claims) Grants() []gateway.Grant {
	var all []gateway.Grant
	for _, one := range c.Caps {
		var may gateway.Permission
		for _, word := range one.May {
			p, _ := gateway.ParsePermission(word) // Nothing, where it fails.
			may |= p
		}
		if may != 0 && len(one.Rooms) > 0 {
			all = append(all, gateway.Grant{Rooms: one.Rooms, May: may})
		}
	}
	heard := c.rooms()
	if c.Channel != "" {
		heard = append(heard, c.Channel)
	}
	if len(heard) > 0 {
		all = append(all, gateway.Grant{Rooms: heard, May: gateway.Read})
	}
	return all
}

// rooms are those that the client is subscribed to from the beginning, each once. What would be a
// pattern names no room.
func (c *Claims) rooms() (names []string) {
	names = slices.Concat(c.Channels, slices.Collect(maps.Keys(c.Subs)))
	names = slices.DeleteFunc(names, isPattern)
	slices.Sort(names)
	return slices.Compact(names)
}

func isPattern(name string) bool { return strings.ContainsAny(name, `*?[\`) }

// expiryMax is the end of the year 9999.
const expiryMax = 253402300799

// principal is whom the claims speak of. leeway, in seconds, is how long they are believed behind
// their end.
func (c *Claims) principal(leeway int64) gateway.Principal {
	p := gateway.Principal{
		Kind: gateway.KindToken, Subject: c.Subject, Grants: c.Grants(), Room: c.Channel, Rooms: c.rooms(), Info: c.told(),
	}
	if c.ExpiresAt != nil {
		p.Expires = min(max(c.ExpiresAt.Unix()+leeway, 1), expiryMax)
	}
	return p
}
