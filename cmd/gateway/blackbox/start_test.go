//go:build unix

package blackbox

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// N43: what a script leaves that forgot to set a variable means nothing, for every list, as a flag
// and in the environment.
func TestN43_EmptyListsAreRefused(t *testing.T) {
	for _, name := range []string{"listen", "allow-origin", "allow-host", "subprotocol", "trusted-proxy", "room"} {
		sep := ","
		if name == "room" {
			sep = ";"
		}
		for _, value := range []string{"", sep, sep + sep} {
			cmd := proctest.Command(t, "--"+name+"="+value)
			if value == sep { // One way for each is enough.
				cmd = proctest.Command(t)
				cmd.Env = append(cmd.Env, "SLUICE_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"="+value)
			}
			if status, _, stderr := proctest.Outcome(t, cmd); status != 2 || !strings.Contains(stderr, "--"+name) || !strings.Contains(stderr, "empty") {
				t.Errorf("--%s %q: status %d, %q; want 2 and the flag", name, value, status, stderr)
			}
		}
	}
	for _, args := range [][]string{{"--listen", ""}, {"--listen=127.0.0.1:0,"}, {"--listen=,127.0.0.1:0"}, {"--listen=", "--listen=127.0.0.1:0"}, {"--room=a=skip;;b=skip"}} {
		if status, _, stderr := proctest.Outcome(t, proctest.Command(t, args...)); status != 2 || !strings.Contains(stderr, "empty") {
			t.Errorf("%q: status %d, %q; want 2", args, status, stderr)
		}
	}
	cmd := proctest.Command(t)
	cmd.Env = append(cmd.Env, "SLUICE_LISTEN=")
	if status, _, stderr := proctest.Outcome(t, cmd); status != 2 || !strings.Contains(stderr, "SLUICE_LISTEN") {
		t.Errorf("an empty variable: status %d, %q; want 2 and its name", status, stderr)
	}
	proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0,localhost:0", "--room=a=skip;b=latest,plain", "--trusted-proxy=unix"))
}

// N44: a rule that counts for no room is a slip, and so is one with two policies.
func TestN44_RoomRulesThatNeverCount(t *testing.T) {
	for rule, says := range map[string]string{
		"ticker/*=latest":              "/ stands for nothing",
		"x=latest,skip":                "one slow policy",
		"a=skip;a=plain;a=latest":      "never counts",
		"a=readonly;*=skip;a=readonly": "never counts",
		"x=plain,deflate":              "deflate cannot stand beside it",
		"x=read-only":                  "or plain, deflate, presence, joins, nopresence or readonly",
	} {
		status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--listen=127.0.0.1:0", "--room="+rule))
		if status != 2 || !strings.Contains(stderr, "--room: ") || !strings.Contains(stderr, says) {
			t.Errorf("%s: status %d, %q; want 2 and %q", rule, status, stderr, says)
		}
	}
}

// N47: at debug one client can be followed from its coming to its leaving, by the id.
func TestN47_DebugLogFollowsAClient(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--log-level=debug"))
	c := wstest.Join(t, p.Addr, "/ws/tea", wstest.MaskedClose(1000, ""))
	id := p.ExpectLog(`level=DEBUG msg="client joined" id=(\S+) from=127\.0\.0\.1 room=tea`)
	c.ExpectClose(1000)
	c.Close()
	p.ExpectLog(`level=DEBUG msg="client left" reason=peer id=` + regexp.QuoteMeta(id) + ` from=127\.0\.0\.1 room=tea`)
}

// N46: an address that cannot work is a flag that makes no sense, said with what was meant.
func TestN46_AddressesThatCannotWork(t *testing.T) {
	for address, says := range map[string]string{
		"18230":           "did you mean :18230?",
		"127.0.0.1:99999": "0 to 65535",
		"localhost":       "did you mean localhost:8080?",
		"/run/sluice":     "did you mean unix:/run/sluice?",
		"unix:":           "no path",
	} {
		status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--listen=127.0.0.1:0", "--listen="+address))
		if status != 2 || !strings.Contains(stderr, "--listen "+address+": ") || !strings.Contains(stderr, says) {
			t.Errorf("%s: status %d, %q; want 2 and %q", address, status, stderr, says)
		}
	}
}

// There is a loop for each processor that an operator's GOMAXPROCS speaks of; --loops stands in any
// case.
func TestLoopsFollowGOMAXPROCS(t *testing.T) {
	for _, tc := range []struct{ env, args, want string }{
		{"GOMAXPROCS=3", "", "3"},
		{"GOMAXPROCS=1", "", "1"},
		{"GOMAXPROCS=1", "--loops=2", "2"},
	} {
		cmd := proctest.Command(t, slices.DeleteFunc([]string{"--listen=127.0.0.1:0", tc.args}, func(arg string) bool { return arg == "" })...)
		cmd.Env = append(cmd.Env, tc.env)
		p := proctest.Launch(t, cmd)
		if got := p.ExpectLog(`listening"?.*"?loops"?[=:](\d+)`); got != tc.want {
			t.Errorf("%s %s: %s loops, want %s", tc.env, tc.args, got, tc.want)
		}
		_ = cmd.Process.Kill()
		<-p.Ended
	}
}
