package main

import (
	"net"
	"strings"
	"testing"
)

// Whoever asks a command for what it does not have is led to that command's help.
func TestWrongUseNamesItsCommand(t *testing.T) {
	for args, command := range map[string]string{
		"--nope":            "gateway",
		"serve --nope":      "gateway",
		"nope":              "gateway",
		"tail":              "gateway tail",
		"tail --nope room":  "gateway tail",
		"key extra":         "gateway key",
		"config":            "gateway config",
		"config print/nope": "gateway config",
	} {
		status, stdout, stderr := say(strings.Fields(args)...)
		if status != exitUsage || stdout != "" || !strings.HasPrefix(stderr, command+": ") || !strings.HasSuffix(stderr, "\nTry "+command+" --help.\n") {
			t.Errorf("%s: status %d, said %q %q, want it to begin with %s", args, status, stdout, stderr, command)
		}
	}
}

// A flag at the end of its line, which lacks its value, is said to.
func TestMissingValuesAreSaidToBeMissing(t *testing.T) {
	for _, flag := range []string{"--config", "--loops", "--listen", "--ping-interval", "--max-message"} {
		status, _, stderr := say(flag)
		if status != exitUsage || !strings.HasPrefix(stderr, "gateway: "+flag+": missing value") {
			t.Errorf("%s: status %d, said %q", flag, status, stderr)
		}
	}
}

// An empty name, as of a variable that is not set, would be a path of the lobby, and .. that of the
// page. Nobody is asked about them.
func TestRoomsThatAPathLosesAreNone(t *testing.T) {
	for _, room := range []string{"", ".", ".."} {
		for _, args := range [][]string{
			{"tail", room},
			{"tail", "--since", "0:0", room},
			{"send", room},
			{"send", "--admin", "unix:/nobody/is/there", room},
		} {
			status, stdout, stderr := say(args...)
			if status != exitUsage || stdout != "" || !strings.Contains(stderr, "is no name that a room may have") {
				t.Errorf("%q: status %d, said %q %q", args, status, stdout, stderr)
			}
		}
	}
}

func TestCountOfMessagesIsNotNegative(t *testing.T) {
	status, _, stderr := say("tail", "--count=-1", "--url", "unix:/nobody/is/there", "news")
	if status != exitUsage || !strings.Contains(stderr, "--count -1: must be at least 1") {
		t.Errorf("status %d, said %q", status, stderr)
	}
}

func TestHealthTellsWhoDoesNotAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // Connections wait there for ever.
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	status, stdout, stderr := say("health", "--timeout=20ms", "http://"+l.Addr().String())
	if status != exitFailed || stdout != "" || !strings.HasSuffix(stderr, ": it has not answered within 20ms\n") {
		t.Errorf("status %d, said %q %q", status, stdout, stderr)
	}
}

// Flags that belong together stand together, in the help and in config print.
func TestFlagsOfAGroupStandTogether(t *testing.T) {
	_, printed, _ := say("config", "print")
	seen := map[string]bool{}
	for line := range strings.SplitSeq(printed, "\n") {
		if strings.HasPrefix(line, "# ") {
			if seen[line] {
				t.Errorf("%s begins twice", line)
			}
			seen[line] = true
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d groups", len(seen))
	}
}
