package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// N46: what people write for an address, and what they meant. A trailing word is the question; none
// where there is nothing to guess.
func TestN46_AddressesAreCheckedAndGuessed(t *testing.T) {
	for address, want := range map[string]string{
		"18230":                             "is not host:port; did you mean :18230?",
		"127.0.0.1:99999":                   `"99999" is no port: it must be 0 to 65535, where 0 lets the system choose`,
		":-1":                               `"-1" is no port: it must be 0 to 65535, where 0 lets the system choose`,
		"localhost:nosuchservice":           `"nosuchservice" is no port: it must be 0 to 65535, where 0 lets the system choose`,
		"99999":                             "is not host:port",
		"localhost":                         "is not host:port; did you mean localhost:8080?",
		"localhost:":                        "has no port; did you mean localhost:8080?",
		":":                                 "has no port; did you mean :8080?",
		"10.0.0.1":                          "is not host:port; did you mean 10.0.0.1:8080?",
		"::1":                               "is not host:port; did you mean [::1]:8080?",
		"[::1]":                             "is not host:port; did you mean [::1]:8080?",
		"[::1":                              "is not host:port; did you mean [::1]:8080?",
		"::1:9000":                          "is not host:port; did you mean [::1]:9000?",
		"2001:db8::1":                       "is not host:port; did you mean [2001:db8::1]:8080?",
		"http://localhost:9000/":            "is not host:port; did you mean localhost:9000?",
		"ws://example.com":                  "is not host:port; did you mean example.com:8080?",
		"*:9000":                            "is not host:port; did you mean :9000?",
		"*":                                 "is not host:port; did you mean :8080?",
		" :9000":                            "is not host:port; did you mean :9000?",
		":9000 ":                            "is not host:port; did you mean :9000?",
		"/run/sluice.sock":                  "is not host:port; did you mean unix:/run/sluice.sock?",
		"./sluice.sock":                     "is not host:port; did you mean unix:./sluice.sock?",
		"unix:":                             "has no path, as in unix:/run/sluice.sock",
		"unix:/" + strings.Repeat("p", 107): "has a path of more than 107 bytes, which no socket can have",
		"a b":                               "is not host:port",
		"[[[::1]:80":                        "is not host:port; did you mean [::1]:80?",
		"":                                  "is not host:port",
		"unix:/" + strings.Repeat("p", 106): "",
		"unix:relative":                     "",
		"unix:@abstract":                    "",
		":8080":                             "",
		":0":                                "",
		":http":                             "",
		"[::]:80":                           "",
		"[fe80::1%eth0]:80":                 "",
		"example.com:80":                    "",
	} {
		if got := addressFault(address); got != want && !(address == "" && strings.HasPrefix(got, want)) {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}

// No guess is one that would be refused in turn, whatever was written.
func FuzzAddressFault(f *testing.F) {
	for _, seed := range []string{"18230", "[::1", "*:80", "http://[::1]:1/", "unix:", ":::", "]:[", "1.2.3.4:5:6", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		_, guess, ok := strings.Cut(addressFault(address), "; did you mean ")
		if guess = strings.TrimSuffix(guess, "?"); ok && addressFault(guess) != "" {
			t.Errorf("%q leads to %q: %s", address, guess, addressFault(guess))
		}
	})
}

// N41: unix is a proxy, and nothing to tell the library of.
func TestN41_TrustedProxiesAndModesAreParsed(t *testing.T) {
	got := parse(t, "--trusted-proxy=unix,10.0.0.0/8", "--trusted-proxy=2001:db8::/32").options().TrustedProxy
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for text, want := range map[string]Mode{"0660": 0o660, "660": 0o660, "777": 0o777, "0": 0, "": 0, "0888": 0, "1777": 0, "-1": 0, "rw": 0, "0o660": 0} {
		var m Mode
		if err := m.UnmarshalText([]byte(text)); m != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %#o, %v", text, m, err)
		}
	}
	for _, text := range []string{"", "10.0.0.1", "10.0.0.0/33", "Unix", "unix:/run/x"} {
		if err := new(Proxy).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a proxy", text)
		}
	}
}
