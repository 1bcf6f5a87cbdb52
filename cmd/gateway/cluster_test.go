package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/gateway/admin"
	"sluice/hub/cluster"
)

// What cannot work is said before anything is connected to, and a password in an address is not
// said again.
func TestClusterFlagsThatMakeNoSense(t *testing.T) {
	const with = "--cluster=nats://user:pl4nted@127.0.0.1:1"
	long := with + " --cluster-node=" + strings.Repeat("x", 256)
	for args, want := range map[string]string{
		long:                                 "--cluster-node: a name has at most 255 bytes",
		"":                                   "",
		with:                                 "",
		with + " --cluster=tls://[::1]:4222": "",
		"--cluster=user:pl4nted@127.0.0.1":   "--cluster: an address is",
		"--cluster=http://pl4nted:4222":      "--cluster: an address is",
		"--cluster-node=a":                   "nothing goes by them without --cluster",
		"--cluster-key=k":                    "nothing goes by them without --cluster",
		with + " --cluster-cert=c":           "--cluster-cert, --cluster-key",
		with + " --cluster-replicas=6":       "--cluster-replicas 6: must be 1 to 5",
		with + " --cluster-replicas=-1":      "--cluster-replicas -1: must be 1 to 5",
		with + " --cluster-age=1m":           "--cluster-age 1m0s: must be 2m0s to",
		with + " --cluster-messages=-1":      "--cluster-messages -1: must be at least 1",
		with + " --cluster-bytes=1KiB":       "--cluster-bytes 1KiB: must be at least 1MiB",
		with + " --history=a.*=age:11m,messages:1001":           "",
		with + " --history=*=messages:1000 --cluster-age=5m":    "",
		with + " --history=a.*=age:6m --cluster-age=5m":         "--cluster-age 5m0s: must be at least the 6m0s for which --history a.* keeps",
		with + " --history=a.*=messages:9 --cluster-messages=8": "--cluster-messages 8: must be at least the 9 that --history a.* keeps",
		with + " --history=a.*=none --cluster-age=5m":           "",
		"--history=a.*=messages:9 --cluster-messages=8":         "",
		with + " --cluster-publish-timeout=0":                   "--cluster-publish-timeout 0s: must be 1ms to",
	} {
		err := parse(t, strings.Fields(args)...).check()
		text := ""
		if err != nil {
			text = err.Error()
		}
		if (text == "") != (want == "") || !strings.Contains(text, want) || strings.Contains(text, "pl4nted") {
			t.Errorf("%s: %q, want %q", args, text, want)
		}
	}
}

func TestClusterFilesAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--cluster-credentials=" + file + ".not":              "--cluster-credentials: ",
		"--cluster-ca=" + file + ".not":                       "--cluster-ca: ",
		"--cluster-ca=" + file:                                "--cluster-ca: there is no certificate in",
		"--cluster-cert=" + file + " --cluster-key=" + file:   "--cluster-cert, --cluster-key: ",
		"--cluster-storage=memory --cluster-node=one":         "",
		"--cluster-credentials=" + file + " --cluster-node=x": "",
	} {
		o, err := parse(t, strings.Fields("--cluster=nats://127.0.0.1:1 "+args)...).natsOptions(nil)
		if want == "" && err == nil {
			if o.InMemory != strings.Contains(args, "memory") || o.Messages != 1000 || o.Bytes != 1<<30 || o.MaxMessage != 1<<20 {
				t.Errorf("%s: %+v", args, o)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}

// The stream keeps what --history promises, unless it is told.
func TestStreamKeepsWhatHistoryPromises(t *testing.T) {
	for args, want := range map[string]struct {
		age      time.Duration
		messages int64
	}{
		"":                                      {10 * time.Minute, 1000},
		"--history=*=messages:1000":             {10 * time.Minute, 1000},
		"--history=*=age:1m,messages:3":         {10 * time.Minute, 1000},
		"--history=a=age:1h;b=messages:5000":    {time.Hour, 5000},
		"--cluster-age=2m --cluster-messages=7": {2 * time.Minute, 7},
	} {
		o, err := parse(t, strings.Fields("--cluster=nats://127.0.0.1:1 "+args)...).natsOptions(nil)
		if err != nil || o.Age != want.age || o.Messages != want.messages {
			t.Errorf("%s: %v, %d, %v", args, o.Age, o.Messages, err)
		}
	}
}

// A name is made once, so that all parts of the program say the same.
func TestNodesHaveNames(t *testing.T) {
	cfg := parse(t)
	if a, b := cfg.nodeName(), cfg.nodeName(); a != b || len(a) < 7 {
		t.Errorf("%s and %s", a, b)
	}
	if name := parse(t, "--cluster-node=one").nodeName(); name != "one" {
		t.Error(name)
	}
}

// The servers are asked what they would refuse. That none is there is said and no fault: the
// gateway starts without them, too.
func TestCheckedClusterIsConnectedTo(t *testing.T) {
	status, _, stderr := say("config", "check", "--cluster=nats://user:pl4nted@127.0.0.1:1")
	if status != exitOK || !strings.Contains(stderr, "--cluster: connecting to NATS: no server can be reached") || strings.Contains(stderr, "pl4nted") {
		t.Errorf("%d: %s", status, stderr)
	}
}

// Each of a node's figures has its place in the metrics, under the same name.
func TestNodesFiguresAreMeasured(t *testing.T) {
	var k clustering
	k.node = cluster.New(cluster.Options{}, nil, nil)
	figures := k.figures()()
	if len(figures.AckTimes) != len(figures.AckBounds)+1 {
		t.Errorf("%d classes for %d bounds", len(figures.AckTimes), len(figures.AckBounds))
	}
	of := reflect.TypeFor[admin.ClusterFigures]()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[cluster.Stats]()) {
		if _, ok := of.FieldByName(f.Name); !ok && f.Name != "Epoch" {
			t.Errorf("%s is not measured", f.Name)
		}
	}
}
