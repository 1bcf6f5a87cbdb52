package gateway

import (
	"math/rand/v2"
	"path"
	"reflect"
	"strings"
	"testing"
)

// N44: rules that count for no room, because of a character that no name has (the slash first of
// all, which paths make one think of), of their length, or of a rule before them; and rules that
// contradict themselves.
func TestN44_RulesThatNeverCountAreRefused(t *testing.T) {
	for text, isRule := range map[string]bool{
		"ticker.*=latest":                      true,
		"ticker:*=latest,plain":                true,
		"*=skip":                               true,
		"[a-c]?.[^x]=plain":                    true,
		`\a\.b=plain`:                          true,
		"[/a]=plain":                           true,
		`[\]\-a]*=plain`:                       true,
		"[[/-z]=plain":                         true,
		"...=plain":                            true,
		"?=plain":                              true,
		strings.Repeat("r", 128) + "=plain":    true,
		strings.Repeat("*r", 128) + "*=plain":  true,
		"ticker/*=latest":                      false,
		"/ws/ticker=latest":                    false,
		"ticker *=latest":                      false,
		"ticker,*=latest":                      false,
		"käse=latest":                          false,
		"\xff=latest":                          false,
		"{a,b}=latest":                         false, // the shell's, not ours
		"[/]=latest":                           false,
		"[é-ü]*=latest":                        false,
		`\/=latest`:                            false,
		`a\*=latest`:                           false,
		".=latest":                             false,
		"..=latest":                            false,
		strings.Repeat("r", 129) + "=latest":   false,
		strings.Repeat("[a]", 129) + "=latest": false,
		"[a=latest":                            false,
		"=latest":                              false,
		"latest":                               false,
		"x=":                                   false,
		"x=latest,":                            false,
		"x=latest,skip":                        false,
		"x=skip,plain,skip":                    false,
		"x=plain,latest,disconnect":            false,
		"x=readonly,latest,plain":              true,
		"x=deflate":                            true,
		"x=plain,deflate":                      false,
		"x=presence":                           true,
		"x=joins,readonly":                     true,
		"x=nopresence":                         true,
		"x=presence,nopresence":                false,
		"x=nopresence,joins":                   false,
		"x=Readonly":                           false,
		"x=read-only":                          false,
		"x=disconnect,latest":                  false,
	} {
		var r RoomRule
		if err := r.UnmarshalText([]byte(text)); (err == nil) != isRule {
			t.Errorf("%q: %v", text, err)
		}
		if r.Pattern != "" {
			if err := (Options{Rooms: []RoomRule{{Pattern: r.Pattern, Plain: true}}}).Validate(); err != nil {
				t.Errorf("%q is a rule on the command line alone: %v", text, err)
			}
		}
	}
	for _, tc := range []struct {
		patterns []string
		isFine   bool
	}{
		{[]string{"a.*", "b.*", "*"}, true},
		{[]string{"a.*", "a.b"}, true}, // never counts either, but which patterns hold others is not worked out
		{[]string{"a", "a"}, false},
		{[]string{"a", "b", "a"}, false},
		{[]string{"*", "a"}, true},
		{[]string{"a/b"}, false},
		{[]string{""}, false},
	} {
		var o Options
		for _, p := range tc.patterns {
			o.Rooms = append(o.Rooms, RoomRule{Pattern: p, Plain: true})
		}
		if err := o.Validate(); (err == nil) != tc.isFine {
			t.Errorf("%q: %v", tc.patterns, err)
		}
	}
}

// Of every pattern that is taken a room can be named that it matches, and of one that is not, none
// of many is.
func TestN44_PatternsAreJudgedRightly(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(44, 44))
	units := []string{"a", "Z", "7", "~", "*", "**", "?", "[a-f]", "[^a-z]", `[\]\\a]`, "[/]", "[^/]", "[!-/]", "[ -,]", `\a`, `\/`, "/", " ", "é", "[é]", "[^é]", "%"}
	var names []string
	for range 2000 {
		name := make([]byte, 1+random.IntN(6))
		for i := range name {
			name[i] = "aZ7~._:-bf"[random.IntN(10)]
		}
		names = append(names, string(name))
	}
	taken, refused := 0, 0
	for range 3000 {
		var pattern, name string
		for range 1 + random.IntN(5) {
			unit := units[random.IntN(len(units))]
			pattern += unit
			for b := range byte(128) {
				if ok, _ := path.Match(unit, string(rune(b))); ok && isRoomByte(b) {
					name += string(rune(b))
					break
				}
			}
		}
		fault := patternFault(pattern)
		ok, _ := path.Match(pattern, name)
		if fault == "" {
			taken++
			if !ok || !isRoomName(name) {
				t.Errorf("%q is taken, and does not match %q", pattern, name)
			}
			continue
		}
		refused++
		for _, name := range names {
			if ok, _ := path.Match(pattern, name); ok && isRoomName(name) {
				t.Errorf("%q is refused (%s), and matches %q", pattern, fault, name)
				break
			}
		}
	}
	if taken < 300 || refused < 300 {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
}

// What is printed of a rule is read as the same: each word that a field stands for, and all of
// them.
func TestRulesAreWrittenAsTheyAreRead(t *testing.T) {
	for _, text := range []string{"a.*=latest", "*=skip,plain", "x=plain", "[a-c]=disconnect"} {
		var r RoomRule
		if err := r.UnmarshalText([]byte(text)); err != nil || r.String() != text {
			t.Errorf("%s is written %s, %v", text, r, err)
		}
	}
	about := reflect.TypeFor[RoomRule]()
	for i := range about.NumField() {
		if about.Field(i).Type.Kind() != reflect.Bool {
			continue
		}
		r := RoomRule{Pattern: "a"}
		reflect.ValueOf(&r).Elem().Field(i).SetBool(true)
		var read RoomRule
		if err := read.UnmarshalText([]byte(r.String())); err != nil || read != r {
			t.Errorf("%s is lost in %s: %v", about.Field(i).Name, r, err)
		}
	}
}
