package wsproto

import "testing"

// N74: names that a page's owner can have lead to this machine, and what looks like an address or
// localhost and is such a name.
func TestN74_OwnHosts(t *testing.T) {
	listed, err := ParseHosts([]string{"App.example.com", "*.apps.example.com", "intranet", "named.example."})
	if err != nil {
		t.Fatal(err)
	}
	var unlisted HostPolicy
	for host, want := range map[string]struct{ byItself, byList bool }{
		"localhost":              {true, true},
		"localhost:8080":         {true, true},
		"localhost:1":            {true, true}, // a tunnel's port
		"LOCALHOST":              {true, true},
		"localhost.":             {true, true},
		"localhost.:8080":        {true, true},
		"localhost:":             {true, true},
		"127.0.0.1:8080":         {true, true},
		"127.0.0.1":              {true, true},
		"0.0.0.0:8080":           {true, true},
		"192.0.2.255":            {true, true},
		"[::1]:8080":             {true, true},
		"[::1]":                  {true, true},
		"[2001:DB8::1]":          {true, true},
		"[::ffff:127.0.0.1]":     {true, true},
		"app.example.com":        {false, true},
		"APP.EXAMPLE.COM:443":    {false, true},
		"app.example.com.":       {false, true},
		"x.apps.example.com":     {false, true},
		"x.y.apps.example.com":   {false, true},
		"intranet:8080":          {false, true},
		"named.example":          {false, true},
		"named.example.":         {false, true},
		"apps.example.com":       {},
		"xapps.example.com":      {},
		".apps.example.com":      {},
		"evil.example":           {},
		"evil.example:8080":      {},
		"evil.example.":          {},
		"localhost.evil.example": {},
		"localhost..":            {},
		"localhostx":             {},
		"xlocalhost":             {},
		"app.localhost":          {}, // some systems ask the network for it
		"127.0.0.1.evil.example": {},
		"127.0.0.1.1":            {},
		"127.0.0":                {},
		"127.1":                  {},
		"127.0.0.256":            {},
		"127.0.0.01":             {},
		"0177.0.0.1":             {},
		"127.0.0.":               {},
		"127.0..1":               {},
		".127.0.0.1":             {},
		"2130706433":             {},
		"0x7f000001":             {},
		"0x7f.0.0.1":             {},
		"127.0.0.1a":             {},
		"::1":                    {},
		"[::1":                   {},
		"[evil]":                 {},
		"[]":                     {},
		"evil.example@localhost": {},
		"localhost, evil":        {},
		"localhost:8080:80":      {},
		"localhost:0":            {},
		"localhost:http":         {},
		"":                       {},
		".":                      {},
		":8080":                  {},
	} {
		if got := unlisted.IsOwn([]byte(host)); got != want.byItself {
			t.Errorf("%q: %t", host, got)
		}
		if got := listed.IsOwn([]byte(host)); got != want.byList {
			t.Errorf("%q with a list: %t", host, got)
		}
	}
	all, err := ParseHosts([]string{"*"})
	if err != nil || !all.IsOwn([]byte("evil.example")) {
		t.Errorf("* does not stand for any: %v", err)
	}
}

func TestN74_HostFlagsAreParsedOrRefused(t *testing.T) {
	for _, in := range []string{"app.example.com", "*.example.com", "*", "localhost", "*.localhost", "192.0.2.1", "[::1]", "under_score.example", "xn--kse-qla.de"} {
		if _, err := ParseHosts([]string{in}); err != nil {
			t.Error(err)
		}
	}
	for _, in := range []string{
		"", "https://app.example.com", "app.example.com/", "app.example.com:8080", "*.com", "*.", "**", "*.*.example.com", "a.*.example.com", "*.0.0.1",
		"*example.com", "*.[::1]", "::1", "käse.de", "a b", "a,b", "*.example.com.", "*.com.", "*:8080",
	} {
		if p, err := ParseHosts([]string{"ok.example", in}); err == nil {
			t.Errorf("%q became %v", in, p)
		}
	}
}
