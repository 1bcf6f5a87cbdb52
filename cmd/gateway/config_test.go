package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/gateway"
	"sluice/hub"
)

// fileOf writes a configuration file.
func fileOf(t *testing.T, text string) (name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// say runs a command of the program.
func say(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

func TestFlagsWinOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	name := fileOf(t, `
# a comment
max-message: 10KiB
max-head: 2KiB
max-rooms: 7
compress: false
ping-interval: 3s
slow-policy: skip
allow-origin: [https://a.example, "https://b.example"]
listen: "127.0.0.1:1,127.0.0.1:2"
rooms:
  "ticker.*": {policy: latest, plain: true}
  "*": {policy: skip, plain: false}
`)
	t.Setenv("SLUICE_MAX_MESSAGE", "20KiB")
	t.Setenv("SLUICE_MAX_HEAD", "3KiB")
	found, err := load([]string{"--config", name, "--max-message=30KiB"})
	if err != nil {
		t.Fatal(err)
	}
	c := found.Config
	if c.MaxMessage != 30<<10 || c.MaxHead != 3<<10 || c.MaxRooms != 7 || c.Compress || c.PingInterval != 3*time.Second || c.SlowPolicy != hub.Skip {
		t.Errorf("%+v", c)
	}
	if c.MaxFragments != 131072 {
		t.Errorf("a default is gone: %d", c.MaxFragments)
	}
	if want := []string{"https://a.example", "https://b.example"}; !reflect.DeepEqual(c.AllowOrigin, want) {
		t.Errorf("allow-origin is %q, want %q", c.AllowOrigin, want)
	}
	if want := []string{"127.0.0.1:1", "127.0.0.1:2"}; !reflect.DeepEqual(c.Listen, want) {
		t.Errorf("listen is %q, want %q", c.Listen, want)
	}
	want := []gateway.RoomRule{{Pattern: "ticker.*", HasPolicy: true, Policy: hub.Latest, Plain: true}, {Pattern: "*", HasPolicy: true, Policy: hub.Skip}}
	if !reflect.DeepEqual(c.Room, want) {
		t.Errorf("rooms are %+v, want %+v", c.Room, want)
	}

	// The environment may name the file; a flag replaces a list as a whole.
	t.Setenv("SLUICE_CONFIG", name)
	found, err = load([]string{"serve", "--room=a=plain", "--allow-origin=https://c.example"})
	if err != nil {
		t.Fatal(err)
	}
	if c := found.Config; len(c.Room) != 1 || len(c.AllowOrigin) != 1 || c.MaxRooms != 7 {
		t.Errorf("%+v", c)
	}
}

func TestFaultsOfAConfigurationAreSaidWithTheirLines(t *testing.T) {
	for text, want := range map[string]string{
		"max-mesage: 1KiB":                         `:1: there is no flag "max-mesage", did you mean "max-message"?`,
		"max_message: 1KiB":                        `:1: there is no flag "max_message", did you mean "max-message"?`,
		"\n\nzzzzzzzzz: 1":                         `:3: there is no flag "zzzzzzzzz"`,
		"config: other.yaml":                       `:1: there is no flag "config"`,
		"help: true":                               `:1: there is no flag "help"`,
		"max-head: 1KiB\nmax-message: 1X":          `:2: max-message: "1X" is not a size`,
		"max-message: [1, 2]":                      `:1: max-message takes one value`,
		"max-message: {a: 1}":                      `:1: max-message takes one value`,
		"max-message:":                             `:1: max-message has no value`,
		"allow-origin: {a: 1}":                     `:1: allow-origin takes a list of values`,
		"allow-origin: [[a]]":                      `:1: allow-origin takes a list of values`,
		"allow-origin: []":                         `:1: allow-origin: the list is empty`,
		"log-level: loud":                          `:1: log-level: "loud" is none of debug, info, warn, error`,
		"max-head: 1KiB\nmax-head: 2KiB":           `:2: max-head is here for the second time, after line 1`,
		"ping-interval: 5":                         `:1: ping-interval: `,
		"compress: perhaps":                        `:1: compress: `,
		"- a\n- b":                                 `:1: this is not a list of flags' names`,
		"max-head: 2KiB\n  max-message: 1KiB":      `: this is not YAML: mapping values are not allowed`,
		"\tmax-head: 2KiB":                         `cannot start any token: lines are indented by blanks, not by tabs`,
		"a: 1\n---\nb: 2":                          `another document begins here`,
		"rooms: [a]":                               `:1: rooms takes patterns`,
		"rooms:\n  a: plain":                       `:2: rooms: a takes a table`,
		"rooms:\n  a: {plain: maybe}":              `:2: rooms: a: plain takes true or false`,
		"rooms:\n  a: {policy: [x]}":               `:2: rooms: a: policy takes one value`,
		"rooms:\n  a: {policy: fast}":              `:2: rooms: rule "a=fast": "fast" is not a policy`,
		"rooms:\n  a: {plian: true}":               `:2: rooms: a: there is no "plian" there, did you mean "plain"?`,
		"rooms:\n  a: {colour: red}":               `:2: rooms: a: there is no "colour" there: it is policy, history, readonly, plain, deflate, presence, joins, nopresence`,
		"rooms:\n  *: {plain: true}":               `what begins with * or & has to be in quotes`,
		"rooms:\n  a/b: {plain: true}":             `:2: rooms: rule "a/b=plain" can count for no room`,
		"rooms: {a: {plain: true}}\nroom: b=plain": `:2: room says what rooms in line 1 has said`,

		// What files are named is read, as a start does.
		"tls-listen: ':0'\ntls-cert: none.pem\ntls-key: none.key": `none.pem: no such file`,

		"admin-listen: 127.0.0.1:0\nadmin-key-file: none.key": `--admin-key-file: open none.key: no such file`,

		"web: nosuchdirectory": `--web: neither demo nor off, nor a directory`,

		// What is wrong with the whole names its parts: where they come from is the next test's.
		"max-message: 2MiB\nroom-backlog: 1MiB": `--room-backlog 1MiB: must exceed --max-message 2MiB, or the largest message could never be delivered`,
	} {
		name := fileOf(t, text)
		status, stdout, stderr := say("config", "check", name)
		if status != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%q: status %d, said %q %q, want %q", text, status, stdout, stderr, want)
		}
		if strings.HasPrefix(want, ":") && !strings.Contains(stderr, name+":") {
			t.Errorf("%q: the file is not named: %q", text, stderr)
		}
	}
	// All at once, in order.
	name := fileOf(t, "max-rooms: x\nlisen: a\nmax-head: y\n")
	_, _, stderr := say("config", "check", name)
	if i, j, k := strings.Index(stderr, ":1: max-rooms"), strings.Index(stderr, `:2: there is no flag "lisen"`), strings.Index(stderr, ":3: max-head"); i < 0 || j < i || k < j {
		t.Errorf("said %q", stderr)
	}
	if status, _, stderr := say("config", "check", filepath.Join(t.TempDir(), "none.yaml")); status != 2 || !strings.Contains(stderr, "none.yaml: no such file") {
		t.Errorf("status %d, %q", status, stderr)
	}
	if status, stdout, stderr := say("config", "check", fileOf(t, "max-head: 2KiB\n"), "--max-rooms=3"); status != 0 || !strings.Contains(stdout, "no fault found") || stderr != "" {
		t.Errorf("status %d, %q, %q", status, stdout, stderr)
	}
	// The gateway itself does not start with such a file.
	if status, _, stderr := say("--config", name); status != 2 || !strings.Contains(stderr, `there is no flag "lisen", did you mean "listen"?`) {
		t.Errorf("status %d, %q", status, stderr)
	}
}

// Whose fault it is that two values do not go together is not to be guessed.
func TestFaultsOfTheWholeAreSaidWithWhereTheirPartsComeFrom(t *testing.T) {
	name := fileOf(t, "compress: false\nmax-message: 2MiB\nweb: nosuchdirectory\n")
	t.Setenv("SLUICE_ROOM_BACKLOG", "1MiB")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "(--room-backlog: SLUICE_ROOM_BACKLOG, --max-message: " + name + ":2)\n"},
		{[]string{"--max-message=3MiB"}, "(--room-backlog: SLUICE_ROOM_BACKLOG)\n"},
		{[]string{"--max-message=1MiB", "--room-backlog=1MiB"}, "could never be delivered\n"},
		{[]string{"--room-backlog=16MiB"}, "(--web: " + name + ":3)\n"}, // of the files that are named
	} {
		if status, _, stderr := say(slices.Concat([]string{"config", "check", name}, tt.args)...); status != 2 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: status %d, said %q, want %q", tt.args, status, stderr, tt.want)
		}
	}
}

// An empty text is what a variable leaves that was not set. Taken for none it would open what was
// to be guarded.
func TestEmptyTextsAreRefused(t *testing.T) {
	const fault = ": it is empty; leave the flag or the variable out for its default"
	for _, tt := range []struct {
		variable string
		args     []string
		want     string
	}{
		{"", []string{"--auth-url="}, "--auth-url" + fault + "\n"},
		{"", []string{"--config="}, "--config" + fault + "\n"},
		{"SLUICE_TLS_CLIENT_CA", nil, "--tls-client-ca" + fault + " (--tls-client-ca: SLUICE_TLS_CLIENT_CA)\n"},
		{"SLUICE_CONFIG", nil, "--config" + fault + " (--config: SLUICE_CONFIG)\n"},
		{"", []string{"--config", fileOf(t, "auth-cookie: ''\n")}, "--auth-cookie" + fault + " (--auth-cookie: "},
	} {
		if tt.variable != "" {
			t.Setenv(tt.variable, "")
		}
		for _, command := range [][]string{{"--listen=127.0.0.1:0"}, {"config", "check"}, {"config", "print"}} {
			if status, stdout, stderr := say(slices.Concat(command, tt.args)...); status != exitUsage || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("%q %q: status %d, said %q %q, want %q", tt.variable, tt.args, status, stdout, stderr, tt.want)
			}
		}
		if tt.variable != "" {
			os.Unsetenv(tt.variable)
		}
	}
}

// What is printed says where it comes from, and is a file that means the same.
func TestPrintedConfigurationMeansTheSame(t *testing.T) {
	name := fileOf(t, `max-head: 2KiB
trusted-proxy: [unix, 10.0.0.0/8]
rooms:
  "a,b;c": {plain: true}
`)
	if status, _, _ := say("config", "check", name); status == 0 {
		t.Fatal("a room's name with a comma is taken")
	}
	name = fileOf(t, `max-head: 2KiB
trusted-proxy: [unix, 10.0.0.0/8]
rooms:
  "[a-c]*": {plain: true}
  "x.*": {policy: latest}
`)
	t.Setenv("SLUICE_MAX_ROOMS", "5")
	args := []string{"--config", name, "--socket-mode=0600", "--no-compress", "--allow-origin=file://"}
	status, printed, stderr := say(append([]string{"config", "print"}, args...)...)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, %s", status, stderr)
	}
	for _, want := range []string{
		`max-head: 2KiB +# ` + regexp.QuoteMeta(name) + `:1\n`, `socket-mode: "0600" +# the command line\n`, `max-rooms: 5 +# SLUICE_MAX_ROOMS\n`,
		`max-message: 1MiB +# default\n`, `trusted-proxy: \[unix, 10.0.0.0/8\] +# ` + name + `:2\n`, `compress: false +# the command line`,
		`#allow-host: +# default`,
	} {
		if !match(want, printed) {
			t.Errorf("no line is like %q:\n%s", want, printed)
		}
	}
	if status, again, stderr := say(append([]string{"config", "print", name}, args[2:]...)...); status != 0 || again != printed {
		t.Errorf("without --config: status %d, %s, instead of\n%s\nthis is printed:\n%s", status, stderr, printed, again)
	}
	before, err := load(args)
	if err != nil {
		t.Fatal(err)
	}
	os.Unsetenv("SLUICE_MAX_ROOMS")
	after, err := load([]string{"--config", fileOf(t, printed)})
	if err != nil {
		t.Fatalf("%v:\n%s", err, printed)
	}
	after.ConfigFile = before.ConfigFile
	if !reflect.DeepEqual(before.Config, after.Config) {
		t.Errorf("%+v\nis not\n%+v", after.Config, before.Config)
	}
}

func match(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// A secret is in no output: neither printed, nor in the line about what a reload has changed.
func TestPrintedConfigurationMasksSecrets(t *testing.T) {
	const secret = "pl4nted"
	args := []string{"--auth-url=http://user:" + secret + "@127.0.0.1:1/who"}
	status, printed, stderr := say(append([]string{"config", "print"}, args...)...)
	if status != 0 || strings.Contains(printed+stderr, secret) || !match(`auth-url: \(not shown\) +# the command line`, printed) {
		t.Errorf("status %d, %s%s", status, printed, stderr)
	}
	found, err := load(args)
	if err != nil {
		t.Fatal(err)
	}
	if text := inline(found.flags()["auth-url"]); strings.Contains(text, secret) {
		t.Errorf("a log line says %s", text)
	}
	status, printed, stderr = say("config", "print", "--cluster=nats://user:"+secret+"@127.0.0.1:1")
	if status != 0 || strings.Contains(printed+stderr, secret) || !match(`cluster: \[\(not shown\)\] +# the command line`, printed) {
		t.Errorf("status %d, %s%s", status, printed, stderr)
	}
}
