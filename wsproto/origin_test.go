package wsproto

import "testing"

func TestA03_SameOriginComparesParsedHostAndPort(t *testing.T) {
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
		{"https://good.com", "good.com:80", true}, // … or be asked at the proxy's own
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
		if got := IsSameHost([]byte(c.origin), []byte(c.host)); got != c.want {
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
		"null":                      false,
		"*":                         false,
	} {
		if got := policy.Lists([]byte(origin)); got != want {
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
		{[]string{"null"}, "http://there", false},
		{[]string{"null", "http://a"}, "http://a", true},
		{nil, "null", false},
	} {
		policy, err := ParseOrigins(c.list)
		if got := policy.Lists([]byte(c.origin)); got != c.want || err != nil {
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
		"", "example.com", "//example.com", "https://", "https://example.com/", "https://example.com/x", "https://a b", "https://a:0", "https://a:65536", "https://a:",
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

// N07: what pages have for an origin that come from no web server. Android's WebViews say file://
// and content://, Chromium file:// (Firefox null), browsers' extensions, Cordova, Ionic, Capacitor,
// Tauri, Electron and VS Code their own schemes.
func TestN07_OriginsOfAppsAndFilesCanBeListed(t *testing.T) {
	apps := []string{
		"file://", "content://", "null", "capacitor://localhost", "ionic://localhost", "tauri://localhost", "http://tauri.localhost",
		"chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai", "moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc",
		"safari-web-extension://5C5E5D6C-0A1B-4C2D-8E3F-000000000000", "app://obsidian.md", "app://.", "vscode-webview://1k2j3h",
		"resource://android",
	}
	for i, app := range apps {
		policy, err := ParseOrigins([]string{app})
		if err != nil {
			t.Errorf("%s: %v", app, err)
			continue
		}
		for j, other := range apps {
			if got := policy.Lists([]byte(other)); got != (i == j) {
				t.Errorf("with %s listed, %s: %t", app, other, got)
			}
		}
		for _, never := range []string{app + "/", app + "x", app + ":81", "x" + app, "http://localhost", "http://", "://", ""} {
			if policy.Lists([]byte(never)) {
				t.Errorf("%s lets %q in", app, never)
			}
		}
	}
	for _, nothing := range []string{"http://", "https://", "ws://", "WSS://", "file:///", "file:", "://", "file://:80", "file://x/"} {
		if o, err := ParseOrigin(nothing); err == nil {
			t.Errorf("%q became %v", nothing, o)
		}
	}
	if IsSameHost([]byte("file://"), nil) || IsSameHost([]byte("file://"), []byte(":80")) {
		t.Error("a file is of the same host as a request without one")
	}
}

// N08: names below one name, and nothing that only looks like them.
func TestN08_OriginsBelowAName(t *testing.T) {
	policy, err := ParseOrigins([]string{"https://*.Example.com", "http://*.localhost:3000"})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{
		"https://a.example.com":                  true,
		"https://a.b.example.com":                true,
		"https://A.EXAMPLE.com":                  true,
		"https://a.example.com:443":              true,
		"https://xn--kse-qla.example.com":        true,
		"http://app.localhost:3000":              true,
		"https://example.com":                    false, // one label or more
		"https://.example.com":                   false,
		"https://..example.com":                  false,
		"https://a..example.com":                 false,
		"https://evilexample.com":                false,
		"https://-example.com":                   false,
		"https://example.com.evil":               false,
		"https://a.example.com.evil":             false,
		"https://a.example.com.":                 false,
		"https://a.example.comx":                 false,
		"https://a.example.com:8443":             false,
		"http://a.example.com":                   false,
		"https://a.example.com@evil":             false,
		"https://evil/a.example.com":             false,
		"https://evil#a.example.com":             false,
		"https://evil\\a.example.com":            false,
		"https://*.example.com":                  false, // what is listed is no origin
		"https://evil.com https://a.example.com": false,
		"http://app.localhost":                   false,
		"http://localhost:3000":                  false,
		"http://applocalhost:3000":               false,
	} {
		if got := policy.Lists([]byte(origin)); got != want {
			t.Errorf("%s: %t", origin, got)
		}
	}
	for _, in := range []string{
		"https://*", "https://*.", "https://*.com", "https://*.com.", "https://*..com", "https://*.com:443", "https://*.*.com", "https://*.*.example.com",
		"https://a.*.example.com", "https://*a.example.com", "https://a*.example.com", "https://example.*", "https://*.example.com.",
		"https://*.0.0.1", "https://*.example.1", "https://*.[::1]", "https://*.[::1.2]", "*.example.com", "*://*.example.com", "https://*.example.com/",
		"https://**.example.com", "https://*.:443", "file://*.", "file://*",
	} {
		if _, err := ParseOrigins([]string{in}); err == nil {
			t.Errorf("%q passed", in)
		}
	}
}

// N09: a proxy that ends TLS knows one port, the page another, and who names a default port names
// none. The page's scheme is the only one that counts.
func TestN09_DefaultPortsAreNone(t *testing.T) {
	for _, c := range []struct {
		origin, host string
		want         bool
	}{
		{"https://h", "h:80", true},
		{"https://h", "h:443", true},
		{"https://h", "h:", true},
		{"https://h:443", "h:80", true},
		{"http://h", "h:443", true},
		{"http://h", "h:", true},
		{"http://h:80", "h", true},
		{"wss://h", "h:443", true},
		{"wss://h", "h:80", true},
		{"wss://h", "h", true},
		{"ws://h", "h:80", true},
		{"ws://h:80", "h:", true},
		{"https://[::1]", "[::1]:80", true},
		{"https://[::1]", "[::1]:", true},
		{"http://h:8080", "h:8080", true},
		{"http://h:443", "h:443", true}, // not its default, but the very one
		{"https://h:80", "h:80", true},
		{"http://h:443", "h", false},
		{"http://h:443", "h:80", false},
		{"https://h:80", "h", false},
		{"https://h:80", "h:443", false},
		{"https://h:80", "h:", false},
		{"https://h", "h:8080", false},
		{"https://h", "h:8443", false},
		{"http://h:8080", "h", false},
		{"http://h:8080", "h:", false},
		{"https://h", "h:080", false},
		{"https://h", "h:0", false},
		{"https://h", "h::", false},
		{"https://h", "h:443:", false},
		{"https://h", ":443", false},
		{"https://h", ":", false},
		{"https://h:", "h", false}, // no browser says so
		{"app://h", "h:80", false},
		{"app://h", "h:", true},
		{"app://h:80", "h", false},
	} {
		if got := IsSameHost([]byte(c.origin), []byte(c.host)); got != c.want {
			t.Errorf("origin %q, host %q: %t", c.origin, c.host, got)
		}
	}
}

func TestOriginCheckAllocatesNothing(t *testing.T) {
	policy, _ := ParseOrigins([]string{"https://a.example", "https://*.b.example", "https://b.example:8443"})
	hosts, _ := ParseHosts([]string{"a.example", "*.b.example", "b.example"})
	origin, host := []byte("https://B.example:8443"), []byte("b.example:8443")
	if allocs := testing.AllocsPerRun(100, func() {
		if !policy.Lists(origin) || !IsSameHost(origin, host) || !hosts.IsOwn(host) {
			t.Fatal("refused")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
