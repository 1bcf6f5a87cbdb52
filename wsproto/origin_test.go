package wsproto

import "testing"

func TestA03_SameOriginComparesParsedHostAndPort(t *testing.T) {
	var same OriginPolicy
	for _, c := range []struct {
		origin, host string
		want         bool
	}{
		{"http://good.com", "good.com", true},
		{"http://good.com", "good.com:80", true},
		{"https://good.com", "good.com", true}, // TLS may end at a proxy: the port is the page's scheme's
		{"https://good.com", "good.com:443", true},
		{"https://good.com:443", "good.com", true},
		{"http://GOOD.com", "good.COM", true},
		{"http://localhost:8080", "localhost:8080", true},
		{"http://[::1]:8080", "[::1]:8080", true},
		{"http://xn--kse-qla.de", "xn--kse-qla.de", true},
		{"http://good.com.evil", "good.com", false},
		{"http://evilgood.com", "good.com", false},
		{"http://good.com@evil", "good.com", false},
		{"http://sub.good.com", "good.com", false},
		{"http://good.com:8080", "good.com", false},
		{"https://good.com", "good.com:80", false},
		{"http://good.com.", "good.com", false},
		{"http://käse.de", "xn--kse-qla.de", false},
		{"http://käse.de", "käse.de", false},
		{"http://good.com:080", "good.com", false},
		{"http://good.com:", "good.com", false},
		{"http://good.com/", "good.com", false},
		{"http://good.com?good.com", "good.com", false},
		{"http://good.com http://evil.com", "good.com", false},
		{"good.com", "good.com", false},
		{"http://", "", false},
		{"", "good.com", false},
		{"null", "null", false},
		{"null", "good.com", false},
		{"http://good.com", "", false},
		{"http://good.com", "good.com:99999", false},
		{"app://good.com", "good.com", true}, // neither names a port
		{"http://[::1]", "[::1", false},
	} {
		if got := same.Allows([]byte(c.origin), []byte(c.host)); got != c.want {
			t.Errorf("origin %q, host %q: %t", c.origin, c.host, got)
		}
	}
}

func TestA03_ListedOriginsMatchExactly(t *testing.T) {
	policy, err := ParseOrigins([]string{"https://Good.com", "http://localhost:3000", "chrome-extension://abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{
		"https://good.com":          true,
		"https://GOOD.COM":          true,
		"https://good.com:443":      true,
		"http://localhost:3000":     true,
		"chrome-extension://abcdef": true,
		"http://good.com":           false,
		"https://good.com:8443":     false,
		"https://good.com.evil":     false,
		"https://evilgood.com":      false,
		"https://sub.good.com":      false,
		"https://good.com.":         false,
		"http://localhost":          false,
		"http://localhost:30000":    false,
		"http://here:8080":          true, // the same origin needs no listing
		"null":                      false,
		"*":                         false,
	} {
		if got := policy.Allows([]byte(origin), []byte("here:8080")); got != want {
			t.Errorf("%s: %t", origin, got)
		}
	}
}

func TestOriginWildcardAndNullMustBeListed(t *testing.T) {
	for _, c := range []struct {
		list   []string
		origin string
		want   bool
	}{
		{[]string{"*"}, "http://any.where", true},
		{[]string{"*"}, "null", true},
		{[]string{"null"}, "null", true},
		{[]string{"null"}, "http://here", true},
		{[]string{"null"}, "http://there", false},
		{[]string{"null", "http://a"}, "http://a", true},
		{nil, "http://here", true},
	} {
		policy, err := ParseOrigins(c.list)
		if got := policy.Allows([]byte(c.origin), []byte("here")); got != c.want || err != nil {
			t.Errorf("%v, %s: %t, %v", c.list, c.origin, got, err)
		}
	}
}

func TestOriginFlagsAreParsedOrRefused(t *testing.T) {
	for in, want := range map[string]string{
		"https://Example.com:443": "https://example.com", "HTTP://example.com:8080": "http://example.com:8080", "app://x": "app://x", "https://[2001:DB8::1]": "https://[2001:db8::1]",
	} {
		if o, err := ParseOrigin(in); err != nil || o.String() != want {
			t.Errorf("%s: %v, %v", in, o, err)
		}
	}
	for _, in := range []string{
		"", "example.com", "//example.com", "https://", "https://example.com/", "https://example.com/x", "https://*.example.com", "https://a b", "https://a:0", "https://a:65536", "https://a:",
		"https://u@a", "1http://a", "https://[::1", "https://::1", "https://käse.de", "*", "null",
	} {
		if o, err := ParseOrigin(in); err == nil {
			t.Errorf("%q became %v", in, o)
		}
		if _, err := ParseOrigins([]string{"https://ok.example", in}); err == nil && in != "*" && in != "null" {
			t.Errorf("%q passed in a list", in)
		}
	}
}

func TestOriginCheckAllocatesNothing(t *testing.T) {
	policy, _ := ParseOrigins([]string{"https://a.example", "https://b.example:8443"})
	var same OriginPolicy
	origin, host := []byte("https://B.example:8443"), []byte("b.example:8443")
	if allocs := testing.AllocsPerRun(100, func() {
		if !policy.Allows(origin, host) || !same.Allows(origin, host) {
			t.Fatal("refused")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
