package main

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"sluice/gateway"
)

// parse returns what a command line of these arguments comes to.
func parse(t *testing.T, args ...string) *Config {
	t.Helper()
	var cfg Config
	parser, err := kong.New(&cfg, wholeLists())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &cfg
}

// What --help says and what the library does without options are the same.
func TestFlagsAndOptionsHaveTheSameDefaults(t *testing.T) {
	flags, zero := reflect.ValueOf(parse(t).options().Defaults()), reflect.ValueOf(gateway.Options{}.Defaults())
	for _, f := range reflect.VisibleFields(flags.Type()) {
		of, oz := flags.FieldByIndex(f.Index), zero.FieldByIndex(f.Index)
		if n, ok := of.Interface().(int64); ok && n < 0 && oz.Int() == 0 { // None, where none is the default.
			continue
		}
		if of.Kind() == reflect.Slice && of.Len() == 0 && oz.Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(of.Interface(), oz.Interface()) {
			t.Errorf("%s is %v by the flags and %v by the options", f.Name, of, oz)
		}
	}
}

// Every field that a flag sets arrives in the options: a flag that is forgotten there would do
// nothing.
func TestEveryFlagArrivesInTheOptions(t *testing.T) {
	plain := parse(t).options()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		switch f.Name {
		case "ConfigFile", "Listen", "TLSListen", "ProxyProtocol", "LogFormat", "LogLevel", "Web", "AdminListen", "AdminKeyFile", "AdminSocketMode", "AdminSocketGroup", "PublishRate": // The program's own.
			continue
		case "AuthFlags", "Auth", "AuthHMACFile", "AuthKeyFile", "AuthJWKSURL", "AuthIssuer", "AuthAudience", "AuthLeeway", "AuthURL", "AuthHeader", "AuthTimeout",
			"AuthDown": // An authenticator's.
			continue
		}
		if strings.HasPrefix(f.Name, "Cluster") && f.Name != "ClusterPublishTimeout" && f.Name != "ClusterOutage" { // The cluster's own.
			continue
		}
		cfg := parse(t)
		v := reflect.ValueOf(cfg).Elem().FieldByIndex(f.Index)
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.String:
			v.SetString("other")
			if f.Name == "ClusterOutage" {
				v.SetString("close")
			}
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			if proxies, ok := v.Addr().Interface().(*[]Proxy); ok { // The zero one is none.
				(*proxies)[0].Prefix = netip.MustParsePrefix("10.0.0.0/8")
			}
		case reflect.Uint8, reflect.Uint32:
			v.SetUint(v.Uint() + 1)
		default:
			v.SetInt(v.Int() + 1)
		}
		if reflect.DeepEqual(cfg.options(), plain) {
			t.Errorf("%s changes nothing in the options", f.Name)
		}
	}
}

// Whatever the library refuses is said in the words of the command line, which knows no field by
// its name in Go.
func TestEveryRefusedFieldIsSaidAsAFlag(t *testing.T) {
	named := map[string]bool{}
	for _, one := range complaints {
		named[one.field] = true
	}
	bad := gateway.Options{}
	v := reflect.ValueOf(&bad).Elem()
	for _, f := range reflect.VisibleFields(v.Type()) {
		if field := v.FieldByIndex(f.Index); field.CanInt() {
			field.SetInt(-1) // None or refused.
		}
	}
	refused := map[string]bool{}
	collect := func(o gateway.Options) {
		for _, err := range unjoin(o.Validate()) {
			var one *gateway.OptionError
			if !errors.As(err, &one) {
				t.Fatalf("%v names no field", err)
			}
			refused[one.Field] = true
		}
	}
	collect(bad)
	collect(gateway.Options{ByteRate: 1, UnsentBuffer: 1 << 40, SendBuffer: 1 << 40, BacklogMemory: 1, PinnedMemory: 1, AssemblyMemory: 1})
	if len(refused) < 15 {
		t.Fatalf("only %v were refused", slices.Sorted(maps.Keys(refused)))
	}
	for field := range refused {
		if !named[field] {
			t.Errorf("%s has no words of its own", field)
		}
	}
}

// docs/flags.md has every flag, with its default in the row where it stands, and none that does not
// exist.
func TestDocumentHasEveryFlag(t *testing.T) {
	document, err := os.ReadFile("../../docs/flags.md")
	if err != nil {
		t.Fatal(err)
	}
	parser := newParser(&commandLine{})
	known := map[string]bool{"help": true}
	for _, command := range parser.Model.Leaves(false) {
		for _, f := range command.Flags {
			known[f.Name], known["no-"+f.Name] = true, true
			if command.Name != "serve" {
				continue
			}
			row := regexp.MustCompile("(?m)^\\|[^|]*`--" + f.Name + "`[^|]*\\|([^|]*)\\|.*$").FindSubmatch(document)
			switch isNone := slices.Contains([]string{"", "0", "0s", "true"}, f.Default); {
			case row == nil && f.Name != "config": // It is about the file, which has a section.
				t.Errorf("--%s is in no row", f.Name)
			case !isNone && !strings.Contains(string(row[1]), "`"+f.Default+"`"):
				t.Errorf("--%s is %s by default, and its row says %s", f.Name, f.Default, row[1])
			}
		}
	}
	for _, m := range regexp.MustCompile("--([a-z][a-z-]+)").FindAllSubmatch(document, -1) {
		if !known[string(m[1])] {
			t.Errorf("there is no --%s", m[1])
		}
	}
}

// A limit that is added is to be added to the command line of docs/internet.md and to SECURITY.md.
func TestHardenedExampleHasEveryLimit(t *testing.T) {
	document, err := os.ReadFile("../../docs/internet.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```sh\ngateway (--listen .*?)```").FindSubmatch(document)
	if m == nil {
		t.Fatal("docs/internet.md has no such example")
	}
	line := strings.ReplaceAll(string(m[1]), "\\\n", " ")
	security, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		group := f.Tag.Get("group")
		if group != "Limits" && group != "Rates" {
			continue
		}
		flag := "--" + f.Tag.Get("name")
		if flag == "--" {
			flag = "--" + strings.ToLower(regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(f.Name, "$1-$2"))
		}
		if !strings.Contains(line, flag+" ") || !strings.Contains(string(security), "`"+flag+"`") {
			t.Errorf("%s is missing in the example or in SECURITY.md", flag)
		}
	}
}
