package gateway

import (
	"fmt"
	"path"
	"strings"
)

// A Permission is a set of what somebody may do in a room.
type Permission uint8

const (
	Read     Permission = 1 << iota // hear its messages
	Publish                         // send some
	Presence                        // know who is there, and how many
	History                         // hear what was said before

	everything = Read | Publish | Presence | History
)

// permissionNames are in the order of the bits.
var permissionNames = [...]string{"read", "publish", "presence", "history"}

// String lists the names, as ParsePermission takes them.
func (p Permission) String() string {
	var names []string
	for i, name := range permissionNames {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "nothing"
	}
	return strings.Join(names, ",")
}

// ParsePermission takes one name: read, publish, presence or history.
func ParsePermission(name string) (Permission, error) {
	for i, known := range permissionNames {
		if name == known {
			return 1 << i, nil
		}
	}
	return 0, fmt.Errorf("%q is nothing that somebody may do: it is read, publish, presence or history", name)
}

// A Grant says what somebody may do in the rooms of some patterns. A pattern is one of path.Match:
// room names have no slash, so * stands for anything, dots too. One that is malformed matches none.
type Grant struct {
	Rooms []string
	May   Permission
}

// String is what UnmarshalText reads, for a grant of one pattern.
func (g Grant) String() string { return strings.Join(g.Rooms, ";") + "=" + g.May.String() }

// UnmarshalText parses PATTERN=WORD,WORD, as in chat.*=read,publish.
func (g *Grant) UnmarshalText(text []byte) error {
	pattern, words, ok := strings.Cut(strings.TrimSpace(string(text)), "=")
	if !ok {
		return fmt.Errorf("%q grants nothing: write PATTERN=WORD,WORD, as in chat.*=read,publish", text)
	}
	if fault := patternFault(pattern); fault != "" {
		return fmt.Errorf("%q grants something in no room: %s", text, fault)
	}
	*g = Grant{Rooms: []string{pattern}}
	for word := range strings.SplitSeq(words, ",") {
		may, err := ParsePermission(word)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		g.May |= may
	}
	return nil
}

// fault says why the grant grants nothing; empty if it grants something.
func (g *Grant) fault() string {
	if g.May == 0 || g.May&^everything != 0 {
		return fmt.Sprintf("%v grants nothing that there is", g.Rooms)
	}
	for _, pattern := range g.Rooms {
		if fault := patternFault(pattern); fault != "" {
			return fmt.Sprintf("%q can count for no room: %s", pattern, fault)
		}
	}
	return ""
}

// A PrincipalKind says how somebody is known.
type PrincipalKind uint8

const (
	KindAnonymous PrincipalKind = iota // not at all: Options.Anonymous says what everybody may do
	KindToken                          // by a token, or by what a service said of a request
	KindKey                            // by a key of the admin listener: a backend, which may do everything, unless it has grants
)

func (k PrincipalKind) String() string { return [...]string{"anonymous", "token", "key"}[k] }

// A Principal is who wants something, whichever way it came.
type Principal struct {
	Kind    PrincipalKind
	Subject string // who it is, in the words of whoever issued the token; may be empty
	Grants  []Grant
	Expires int64 // when this ends to be true, in seconds of Unix time; zero: never

	// Room is the only one that it is for, of a token that subscribes to one; empty: any.
	Room string
	// Rooms are those that a client of the protocol is subscribed to from the beginning.
	Rooms []string
	// Info is what others are told of it, beside the subject: JSON on one line, of at most InfoMax
	// bytes; nil: nothing.
	Info []byte
}

// InfoMax is how much there may be of Principal.Info, in bytes: each of its messages has it with
// it.
const InfoMax = 1 << 10

// granted is what p was given for the room. Grants add up.
func (p *Principal) granted(room string) (may Permission) {
	if p.Kind == KindKey && p.Grants == nil {
		return everything
	}
	if p.Room != "" && p.Room != room {
		return 0
	}
	for i := range p.Grants {
		for _, pattern := range p.Grants[i].Rooms {
			if ok, _ := path.Match(pattern, room); ok {
				may |= p.Grants[i].May
				break
			}
		}
	}
	return may & everything
}
