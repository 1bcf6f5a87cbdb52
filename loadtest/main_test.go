package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"sluice/loadtest/internal/server"
	"sluice/loadtest/internal/servertest"
)

func TestExitStatusTellsWhoseFaultItWas(t *testing.T) {
	t.Parallel() // It waits more than it works.
	good := servertest.Start(t, &servertest.Server{})
	bad := servertest.Start(t, &servertest.Server{Mangle: func(_, message int, p []byte) [][]byte {
		if message == 10 {
			return [][]byte{}
		}
		return nil
	}})
	file := filepath.Join(t.TempDir(), "report.json")
	small := []string{"--clients=5", "--messages=20", "--warmup=0", "--loss-timeout=20s", "--settle=0s", "--connect-timeout=20s"}
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{append(small, good, "--json", file), exitOK, "100 of 100"},
		{append(small, bad, "--loss-timeout=2s"), exitFaulty, "5 lost"},
		{append(small, good, "--fail-if", "max>1ns"), exitFaulty, `failed by --fail-if "max>1ns"`},
		{append(small, "ws://127.0.0.1:1/"), exitUnreachable, "could not be reached: connection refused"},
		{append(small, "--spawn", "echo no such luck; exit 7"), exitUnreachable, "no such luck"},
		{[]string{"--size", "39"}, exitUsage, "--size 39: a message needs 40 bytes"},
		{[]string{"--size", "much"}, exitUsage, "is not a size"},
		{[]string{"--stalled", "1000"}, exitUsage, "--clients 1000: too few"},
		{[]string{"--clients", "0"}, exitUsage, "--clients 0: too few"},
		{[]string{"--fail-if", "luck<1"}, exitUsage, "is not a figure"},
		{[]string{"--rooms", "2", good}, exitUsage, "{room}"},
		{[]string{"http://127.0.0.1/"}, exitUsage, "write ws://"},
		{[]string{"--spawn", "true", good, good}, exitUsage, "one URL is enough"},
		{[]string{"--sse", "1000"}, exitUsage, "--sse 1000: must be 0 to 999"},
		{[]string{"--sse", "10", "ws://127.0.0.1:1/chat"}, exitUsage, "give --sse-path"},
		{[]string{"--sse", "10", "--sse-path", "events"}, exitUsage, "write /path"},
		{[]string{"--sse", "10", "--rooms", "2", "--sse-path", "/e", "ws://127.0.0.1:1/ws/{room}"}, exitUsage, "--rooms needs {room} in --sse-path"},
		{[]string{"--storm", "30%", "--resume"}, exitUsage, "say how many read events with --sse, or --protocol centrifuge"},
		{[]string{"--protocol", "mqtt"}, exitUsage, "--protocol must be one of"},
		{[]string{"--protocol", "centrifuge", "--resume"}, exitUsage, "say --storm 30%"},
		{[]string{"--protocol", "centrifuge", "--binary"}, exitUsage, "publishes is text"},
		{[]string{"--format", "protobuf"}, exitUsage, "say --protocol centrifuge"},
		{[]string{"--protocol", "centrifuge", "--format", "xml"}, exitUsage, `"json","protobuf"`},
		{[]string{"--protocol", "centrifuge", "--rooms-per-client", "2"}, exitUsage, "there are --rooms 1"},
		{[]string{"--rooms", "2", "--rooms-per-client", "2"}, exitUsage, "say --protocol centrifuge"},
		{[]string{"--sse", "10", "--resume"}, exitUsage, "say --storm 30%"},
		{[]string{"--sse", "1", "--storm", "30%", "--resume"}, exitUsage, "takes none"},
		{[]string{"--processes", "65"}, exitUsage, "--processes 65: must be 0 to 64"},
		{[]string{"--clients", "6", "--rooms", "4", good + "/{room}", good + "/{room}"}, exitUsage, "there are 8 rooms for them"},
		{[]string{good, "--publish-at", "nowhere"}, exitUsage, "write host:port"},
		{[]string{good, good, "--publish-at", "127.0.0.1:1"}, exitUsage, "each has rooms of its own"},
		{[]string{"--nonsense"}, exitUsage, "unknown flag --nonsense"},
		{[]string{"--help"}, exitOK, "Examples:"},
	} {
		var said strings.Builder
		if status := runMain(t.Context(), test.args, &said, &said); status != test.status || !strings.Contains(said.String(), test.says) {
			t.Errorf("%v: exit status %d, want %d with %q\n%s", test.args, status, test.status, test.says, said.String())
		}
	}
	b, err := os.ReadFile(file)
	var res map[string]any
	if err := errors.Join(err, json.Unmarshal(b, &res)); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields("clients publishers size seconds expected delivered lost duplicated reordered corrupted foreign reach deliveries_per_second latency_us skew_us connect client") {
		if _, ok := res[key]; !ok {
			t.Errorf("the report lacks %s", key)
		}
	}
}

// A run of hours is not to be had again. Relatives: each command that writes, a directory, a
// directory without the right, a file without the right, both reports into one file; and what is
// not touched: a report of before, a pipe.
func TestN65_FilesThatCannotBeWrittenAreSaidBeforeTheRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before := filepath.Join(dir, "before.json")
	if err := os.WriteFile(before, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	missing, fresh := filepath.Join(dir, "missing", "x"), filepath.Join(dir, "fresh")
	// The server would fail the command, were it started: nobody listens.
	port, err := server.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	run := []string{fmt.Sprintf("ws://127.0.0.1:%d/", port), "--clients=2", "--messages=1"}
	spawn := []string{"--spawn", "exit 7", "--spawn", "exit 7"}
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{append(run, "--html", missing), exitUsage, "--html " + missing + ": no such file or directory"},
		{append(run, "--json", missing), exitUsage, "--json " + missing + ": no such file or directory"},
		{append(run, "--json", fresh, "--html", missing), exitUsage, "--html " + missing},
		{append(run, "--json", dir), exitUsage, "--json " + dir + ": is a directory"},
		{append(run, "--json", fresh, "--html", fresh), exitUsage, "--json would write to the same file"},
		{append(run, "--json", filepath.Join(before, "x")), exitUsage, "not a directory"},
		{append(run, "--json", before, "--html", fresh), exitUnreachable, "could not be reached"},
		{append(run, "--html", "/dev/stderr"), exitUnreachable, "could not be reached"},
		{append([]string{"compare", "--json", missing}, spawn...), exitUsage, "--json " + missing},
		{append([]string{"compare", "--html", missing, "--at=1,2"}, spawn...), exitUsage, "--html " + missing},
		{append([]string{"connect", "--html", missing}, spawn...), exitUsage, "--html " + missing},
	} {
		var said strings.Builder
		if status := runMain(t.Context(), test.args, &said, &said); status != test.status || !strings.Contains(said.String(), test.says) {
			t.Errorf("%v: exit status %d, want %d with %q\n%s", test.args, status, test.status, test.says, said.String())
		}
	}
	if b, err := os.ReadFile(before); err != nil || string(b) != "before" {
		t.Errorf("the report of before is %q, %v", b, err)
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a run that did not take place left a report")
	}
}

func TestReportNamesWhatHappenedToConnections(t *testing.T) {
	t.Parallel() // It waits more than it works.
	s := &servertest.Server{Refuse: func(request int) bool { return request == 3 }}
	s.Before = func(message int) {
		for id := 0; message == 10 && id < 2; id++ {
			reason := websocket.FormatCloseMessage(1008, "not you")
			_ = s.Conns[id].WriteControl(websocket.CloseMessage, reason, time.Now().Add(time.Second))
		}
	}
	var said strings.Builder
	args := []string{"--clients=10", "--publishers=5", "--rate=100", "--messages=50", "--warmup=0", "--settle=0s", "--loss-timeout=1s", servertest.Start(t, s)}
	if status := runMain(t.Context(), args, &said, &said); status != exitFaulty {
		t.Errorf("exit status %d", status)
	}
	if strings.Contains(said.String(), "different orders") {
		t.Errorf("clients that missed the end are said to have seen another order:\n%s", said.String())
	}
	for _, words := range []string{"1 failed", "2 closed", `1 × handshake: server answered "HTTP/1.1 503 Service Unavailable"`, `2 × the server closed with 1008 policy violation "not you"`} {
		if !strings.Contains(said.String(), words) {
			t.Errorf("the report does not say %q:\n%s", words, said.String())
		}
	}
}

func TestUnknownCertificateIsRefusedUnlessInsecure(t *testing.T) {
	t.Parallel() // It waits more than it works.
	url := servertest.StartSecure(t, &servertest.Server{})
	args := []string{"--clients=5", "--messages=20", "--warmup=0", "--settle=0s", "--connect-timeout=20s", "--loss-timeout=20s", url}
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{args, exitUnreachable, "certificate"},
		{append(slices.Clone(args), "--insecure"), exitOK, "100 of 100"},
	} {
		var said strings.Builder
		if status := runMain(t.Context(), test.args, &said, &said); status != test.status || !strings.Contains(said.String(), test.says) {
			t.Errorf("%v: exit status %d, want %d with %q\n%s", test.args, status, test.status, test.says, said.String())
		}
	}
}
