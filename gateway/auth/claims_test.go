package auth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/gateway/auth"
)

// What a token says of a client of the protocol, under Centrifugo's names.
func TestClaimsOfTheProtocol(t *testing.T) {
	k := keys()
	j := newJWT(t, auth.Options{SecretFiles: []string{write(t, "secret", k.secret)}, Leeway: -1})
	later := time.Now().Add(time.Hour).Unix()
	for name, tc := range map[string]struct {
		claims object
		want   gateway.Principal
	}{
		"info loses its blanks and line feeds": {
			object{"sub": "ann", "info": json.RawMessage("{\"name\":\n \"Ann A\"}")},
			gateway.Principal{Subject: "ann", Info: []byte(`{"name":"Ann A"}`)},
		},
		"info of null is none": {object{"sub": "ann", "info": nil}, gateway.Principal{Subject: "ann"}},
		"rooms from the beginning, each once, and patterns are none": {
			object{"sub": "ann", "channels": []string{"b", "a", "x*"}, "subs": object{"a": object{}, "c": object{}}},
			gateway.Principal{
				Subject: "ann", Rooms: []string{"a", "b", "c"},
				Grants: []gateway.Grant{{Rooms: []string{"a", "b", "c"}, May: gateway.Read}},
			},
		},
		"a token for one room": {
			object{"sub": "", "channel": "news", "exp": later},
			gateway.Principal{Room: "news", Expires: later, Grants: []gateway.Grant{{Rooms: []string{"news"}, May: gateway.Read}}},
		},
		"… with more in it than to hear it": {
			object{"channel": "news", "caps": []object{{"rooms": []string{"*"}, "may": []string{"publish", "history"}}}},
			gateway.Principal{Room: "news", Grants: []gateway.Grant{
				{Rooms: []string{"*"}, May: gateway.Publish | gateway.History}, {Rooms: []string{"news"}, May: gateway.Read},
			}},
		},
	} {
		who, refused := judge(j, mint(hs256(k.secret), tc.claims, nil))
		if tc.want.Kind = gateway.KindToken; refused != "" || !reflect.DeepEqual(who, tc.want) {
			t.Errorf("%s: %+v %s, want %+v", name, who, refused, tc.want)
		}
	}
	deep := func(n int) json.RawMessage { return json.RawMessage(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	for name, tc := range map[string]struct {
		claims object
		why    string
	}{
		"info that is just deep enough": {object{"info": deep(64)}, ""},
		"info too deep":                 {object{"info": deep(65)}, "nested more than 64 deep"},
		"info of the largest size":      {object{"info": strings.Repeat("x", gateway.InfoMax-2)}, ""},
		"info that is too large":        {object{"info": strings.Repeat("x", gateway.InfoMax-1)}, "more than 1024 bytes"},
		"a channel that is a pattern":   {object{"channel": "*"}, "has to be the name of one room"},
	} {
		if _, refused := judge(j, mint(hs256(k.secret), tc.claims, nil)); tc.why == "" && refused != "" || !strings.Contains(refused, tc.why) {
			t.Errorf("%s: %q, want %q", name, refused, tc.why)
		}
	}
}

// A client that is refused for the time alone is told apart: by the protocol they may come again
// with another token.
func TestExpiredTokensAreToldApart(t *testing.T) {
	k := keys()
	j := newJWT(t, auth.Options{SecretFiles: []string{write(t, "secret", k.secret)}, Leeway: -1})
	old := object{"exp": time.Now().Add(-time.Minute).Unix()}
	for name, tc := range map[string]struct {
		token     string
		isExpired bool
	}{
		"expired":                           {mint(hs256(k.secret), old, nil), true},
		"expired, and signed by a stranger": {mint(hs256(k.otherSecret), old, nil), false},
		"signed by a stranger":              {mint(hs256(k.otherSecret), object{}, nil), false},
	} {
		_, err := j.Judge(&gateway.Handshake{Token: tc.token})
		if denied := new(gateway.AuthError); !errors.As(err, &denied) || denied.Status != 401 || denied.IsExpired != tc.isExpired {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A service is told what it is asked about: a connection, a room, or a subscription of a user's;
// and speaks of that one, unless it says otherwise.
func TestServiceIsAskedAboutSubscriptions(t *testing.T) {
	heard := make(chan map[string]string, 1)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked map[string]string
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		heard <- asked
		io.WriteString(w, map[string]string{
			"Bearer silent": `{}`, "Bearer other": `{"sub": "bob", "channel": "x"}`, "Bearer large": `{"info": "` + strings.Repeat("x", gateway.InfoMax) + `"}`,
		}[r.Header.Get("Authorization")])
	}))
	defer service.Close()
	s, err := auth.NewService(auth.ServiceOptions{URL: service.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tc := range []struct {
		about    gateway.Handshake
		asked    map[string]string
		of, room string
	}{
		{gateway.Handshake{Token: "silent"}, map[string]string{}, "", ""},
		{gateway.Handshake{Token: "silent", Room: "r"}, map[string]string{"room": "r"}, "", ""},
		{gateway.Handshake{Token: "silent", Room: "r", IsSubscription: true, Subject: "ann"}, map[string]string{"room": "r", "user": "ann"}, "ann", "r"},
		{gateway.Handshake{Token: "other", Room: "r", IsSubscription: true, Subject: "ann"}, map[string]string{"room": "r", "user": "ann"}, "bob", "x"},
	} {
		who, err := s.Ask(t.Context(), &tc.about)
		asked := <-heard
		if err != nil || who.Subject != tc.of || who.Room != tc.room || !reflect.DeepEqual(asked, tc.asked) {
			t.Errorf("%+v: %+v %v, asked %v", tc.about, who, err, asked)
		}
	}
	denied := new(gateway.AuthError)
	if _, err := s.Ask(t.Context(), &gateway.Handshake{Token: "large"}); !errors.As(err, &denied) || denied.Status != http.StatusServiceUnavailable {
		t.Errorf("info too large: %v", err)
	}
}
