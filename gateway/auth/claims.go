package auth

import (
	"encoding/json"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"sluice/gateway"
)

// Claims are what is known of somebody. Channels and Subs are the names that Centrifugo has for
// rooms that a client is to hear: they grant reading. A claim that is not here is not looked at.
type Claims struct {
	jwt.RegisteredClaims
	Caps     []Cap                      `json:"caps,omitempty"`
	Channels []string                   `json:"channels,omitempty"`
	Subs     map[string]json.RawMessage `json:"subs,omitempty"`
}

// A Cap grants something in the rooms of some patterns: "read", "publish", "presence", "history".
// Other words grant nothing.
type Cap struct {
	Rooms []string `json:"rooms"`
	May   []string `json:"may"`
}

// Valid judges their times as a gateway would whose clock is right: nbf and exp.
func (c *Claims) Valid() error {
	return jwt.NewValidator(jwt.WithLeeway(leewayDefault)).Validate(c.RegisteredClaims)
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
	var heard []string
	for _, name := range c.Channels {
		heard = appendName(heard, name)
	}
	for name := range c.Subs {
		heard = appendName(heard, name)
	}
	if len(heard) > 0 {
		all = append(all, gateway.Grant{Rooms: heard, May: gateway.Read})
	}
	return all
}

// appendName appends the name of one room, which is no pattern: what would be one names no room.
func appendName(names []string, name string) []string {
	if strings.ContainsAny(name, `*?[\`) {
		return names
	}
	return append(names, name)
}

// expiryMax is the end of the year 9999.
const expiryMax = 253402300799

// principal is whom the claims speak of. leeway, in seconds, is how long they are believed behind
// their end.
func (c *Claims) principal(leeway int64) gateway.Principal {
	p := gateway.Principal{Kind: gateway.KindToken, Subject: c.Subject, Grants: c.Grants()}
	if c.ExpiresAt != nil {
		p.Expires = min(max(c.ExpiresAt.Unix()+leeway, 1), expiryMax)
	}
	return p
}
