//go:build unix

package blackbox

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/wstest"
)

// A result is how a command ended, and what it said.
type result struct {
	status         int
	stdout, stderr string
}

// start runs a command beside the test.
func start(t *testing.T, cmd *exec.Cmd) <-chan result {
	t.Helper()
	done := make(chan result, 1)
	go func() {
		var r result
		r.status, r.stdout, r.stderr = proctest.Outcome(t, cmd)
		done <- r
	}()
	return done
}

// With serve and without a command the same is done, and --help of both has the flags.
func TestServeIsTheCommandThatNeedsNoName(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "serve", "--listen=127.0.0.1:0"))
	wstest.Join(t, p.Addr, "/ws", wstest.MaskedText("hello")).ExpectFrame(1, "hello")
	_, unnamed, _ := proctest.Outcome(t, proctest.Command(t, "--help"))
	_, named, _ := proctest.Outcome(t, proctest.Command(t, "serve", "--help"))
	for _, want := range []string{"--listen=ADDRESS", "--max-message=SIZE", "Slow clients"} {
		if !strings.Contains(unnamed, want) || !strings.Contains(named, want) {
			t.Errorf("%q is not in both helps:\n%s\n%s", want, unnamed, named)
		}
	}
	for _, command := range []string{"serve", "health", "tail", "send"} {
		if !strings.Contains(unnamed, "\n  "+command+" ") {
			t.Errorf("%s is not listed:\n%s", command, unnamed)
		}
	}
	status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--listen=127.0.0.1:0", "health"))
	if status != 2 || !strings.Contains(stderr, `--listen applies to the default command "serve"`) {
		t.Errorf("a flag of serve in front of health: %d, %s", status, stderr)
	}
}

func TestMisspeltCommandIsExplained(t *testing.T) {
	status, stdout, stderr := proctest.Outcome(t, proctest.Command(t, "helath"))
	if status != 2 || stdout != "" || !strings.Contains(stderr, "helath") || !strings.Contains(stderr, `did you mean "health"?`) {
		t.Errorf("status %d, said %q and %q", status, stdout, stderr)
	}
}

func TestHealthSaysByItsStatusHowTheGatewayIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--listen=unix:"+path))
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for _, c := range []struct {
		url    string
		status int
		says   string
	}{
		{"http://" + p.Addr + "/livez", 0, "ok"},
		{p.Addr, 0, "ok"},
		{"unix:" + path, 0, "ok"},
		{"unix:" + path + ":/livez", 0, "ok"},
		{"http://" + p.Addr + "/nowhere", 1, "404"},
		{gone.Addr().String(), 1, "connection refused"},
		{"unix:" + path + "2", 1, "no such file"},
		{"ftp://" + p.Addr, 2, "http://host:port"},
		{"unix:", 2, "has no path"},
	} {
		status, stdout, stderr := proctest.Outcome(t, proctest.Command(t, "health", c.url))
		if status != c.status || !strings.Contains(stdout+stderr, c.says) || (status == 0) != (stderr == "") {
			t.Errorf("%s: status %d, said %q and %q, want %d and %q", c.url, status, stdout, stderr, c.status, c.says)
		}
	}
}

func TestTailBeginsWithWhatIsKept(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--history=news=messages:3"))
	say := proctest.Command(t, "send", "--url="+p.Addr, "news")
	say.Stdin = strings.NewReader("one\ntwo\nthree\nfour\n")
	if status, _, stderr := proctest.Outcome(t, say); status != 0 {
		t.Fatal(stderr)
	}
	for last, want := range map[string]string{"2": "three\nfour\n", "all": "two\nthree\nfour\n", "1000": "two\nthree\nfour\n"} {
		count := strconv.Itoa(strings.Count(want, "\n"))
		status, stdout, stderr := proctest.Outcome(t, proctest.Command(t, "tail", "--url="+p.Addr, "--last="+last, "--count="+count, "news"))
		if status != 0 || stdout != want {
			t.Errorf("--last=%s: %d, %q, %s", last, status, stdout, stderr)
		}
	}
	for _, last := range []string{"0", "-1", "x", "ALL", "99999999999"} {
		if status, _, stderr := proctest.Outcome(t, proctest.Command(t, "tail", "--url="+p.Addr, "--last="+last, "news")); status != 2 || !strings.Contains(stderr, "--last "+last+": must be a number from 1 on, or all") {
			t.Errorf("--last=%s: %d, %s", last, status, stderr)
		}
	}
}

// tail --since prints what follows a position, and says at its end and at an interrupt where to go
// on; what cannot be had any more is said, and a text that is no position is none.
func TestTailGoesOnBehindAPosition(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--history=news=messages:3"))
	say := proctest.Command(t, "send", "--url="+p.Addr, "news")
	say.Stdin = strings.NewReader("one\n\nthree\nfour\n")
	if status, _, stderr := proctest.Outcome(t, say); status != 0 {
		t.Fatal(stderr)
	}
	tail := func(since string, flags ...string) (status int, stdout, stderr string) {
		return proctest.Outcome(t, proctest.Command(t, append([]string{"tail", "--url=" + p.Addr, "--since=" + since, "news"}, flags...)...))
	}
	lost := proctest.Command(t, "tail", "--url=ws://"+p.Addr, "--since=0:0", "news")
	stderr, err := lost.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lost.Start(); err != nil {
		t.Fatal(err)
	}
	words := bufio.NewReader(stderr)
	line, _ := words.ReadString('\n')
	found := regexp.MustCompile(`^gateway: reset, messages may be missing here: epoch; it goes on behind ([^:]+):4\n$`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("said of another epoch: %q", line)
	}
	epoch := found[1]
	_ = lost.Process.Signal(os.Interrupt)
	rest, _ := io.ReadAll(words)
	_ = lost.Wait()
	if status := lost.ProcessState.ExitCode(); status != 130 || string(rest) != "gateway: to go on: --since "+epoch+":4\n" {
		t.Errorf("interrupted: %d, %q", status, rest)
	}
	want := `{"text":"","position":"` + epoch + `:2"}` + "\n" + `{"text":"three","position":"` + epoch + `:3"}` + "\n"
	if status, stdout, stderr := tail(epoch+":1", "--json", "--count=2"); status != 0 || stdout != want || stderr != "gateway: to go on: --since "+epoch+":3\n" {
		t.Errorf("behind the first: %d, %q, %q", status, stdout, stderr)
	}
	if status, stdout, stderr := tail(epoch+":2", "--count=2"); status != 0 || stdout != "three\nfour\n" {
		t.Errorf("behind the second: %d, %q, %q", status, stdout, stderr)
	}
	for _, wrong := range []string{"x", "x:", ":1", "x:-1"} {
		if status, _, stderr := tail(wrong); status != 2 || !strings.Contains(stderr, "--since "+wrong+": must be an epoch and an offset") {
			t.Errorf("--since=%s: %d, %s", wrong, status, stderr)
		}
	}
	if status, _, stderr := tail(epoch+":1", "--last=3"); status != 2 || !strings.Contains(stderr, "can't be used together") {
		t.Errorf("with --last: %d, %s", status, stderr)
	}
}

func TestSendSaysLinesThatTailPrints(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--log-level=debug"))
	plain := start(t, proctest.Command(t, "tail", "--url=ws://"+p.Addr, "--count=5", "news"))
	asJSON := start(t, proctest.Command(t, "tail", "--url", p.Addr, "--count=5", "--json", "news"))
	p.ExpectLog("(?s)client joined.*room=news.*client joined.*room=news")
	for _, say := range []struct {
		input string
		flags []string
	}{
		{"one\n\nthree\x1b", nil},
		{"\xff\x00", []string{"--binary"}},
		{"two\nlines\n", []string{"--whole"}},
	} {
		cmd := proctest.Command(t, append([]string{"send", "--url=ws://" + p.Addr, "news"}, say.flags...)...)
		cmd.Stdin = strings.NewReader(say.input)
		if status, stdout, stderr := proctest.Outcome(t, cmd); status != 0 || stdout+stderr != "" {
			t.Errorf("%q: status %d, said %q and %q", say.input, status, stdout, stderr)
		}
	}
	if r := <-plain; r.status != 0 || r.stdout != "one\n\nthree\x1b\n/wA=\ntwo\nlines\n\n" || r.stderr != "" {
		t.Errorf("tail: status %d, %q, %q", r.status, r.stdout, r.stderr)
	}
	const want = `{"text":"one"}
{"text":""}
{"text":"three\u001b"}
{"base64":"/wA="}
{"text":"two\nlines\n"}
`
	if r := <-asJSON; r.status != 0 || r.stdout != want || r.stderr != "" {
		t.Errorf("tail --json: status %d, %s, %q", r.status, r.stdout, r.stderr)
	}
}

// send --admin publishes as a backend does, where no client may, by TCP with a key and by a unix
// socket without; what is wrong is said in the gateway's words, and what does not go together is
// refused.
func TestSendPublishesAsABackendDoes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys, socket := filepath.Join(dir, "keys"), filepath.Join(dir, "admin.sock")
	some, none := filepath.Join(dir, "some"), filepath.Join(dir, "none")
	for name, text := range map[string]string{
		keys: "# of ours\n\n" + newKey(t) + "\n" + "a-key-of-some-rooms other.*\n", some: "a-key-of-some-rooms", none: "# nothing\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--room=news=readonly", "--max-message=10", "--log-level=debug",
		"--admin-listen=127.0.0.1:0", "--admin-listen=unix:"+socket, "--admin-key-file="+keys, "--publish-rate=3"))
	admin := p.ExpectLog(`the admin listener is open" address=(127\S+)`)
	tail := start(t, proctest.Command(t, "tail", "--url="+p.Addr, "--count=7", "--json", "news"))
	p.ExpectLog("client joined.*room=news")
	for _, c := range []struct {
		args        []string
		input, says string
		status      int
	}{
		{[]string{"--admin=" + admin, "--key-file=" + keys}, "1\n\n3\n4", "", 0}, // More than may be published at once.
		{[]string{"--admin=http://" + admin, "--key-file=" + keys, "--binary", "--whole"}, "\xff\n", "", 0},
		{[]string{"--admin=unix:" + socket}, "6\n", "", 0},
		{[]string{"--admin=unix:" + socket}, "7\nlonger than ten", "message 2: refused: 413", 1},
		{[]string{"--admin=unix:" + socket}, "\xff", "line 1 is not UTF-8", 1},
		{[]string{"--admin=" + admin}, "x", "message 1: refused: 401 Unauthorized: This needs an API key", 1},
		{[]string{"--admin=" + admin, "--key-file=" + some}, "x", "refused: 403 Forbidden: The API key is for other rooms", 1},
		{[]string{"--admin=" + p.Addr}, "x", "no admin listener's answer", 1},
		{[]string{"--admin=unix:" + socket + "2"}, "x", "no such file", 1},
		{[]string{"--admin=" + admin, "--key-file=" + none}, "x", "there is no key in it", 2},
		{[]string{"--admin=ws://" + admin}, "x", "is no place to ask at", 2},
		{[]string{"--key-file=" + keys}, "x", "which --admin names", 2},
		{[]string{"--admin=" + admin, "--url=" + p.Addr}, "x", "--url and --token are for who joins", 2},
		{[]string{"--admin=" + admin, "--token=x"}, "x", "--url and --token are for who joins", 2},
	} {
		cmd := proctest.Command(t, append(append([]string{"send"}, c.args...), "news")...)
		cmd.Stdin = strings.NewReader(c.input)
		status, stdout, stderr := proctest.Outcome(t, cmd)
		if status != c.status || stdout != "" || !strings.Contains(stderr, c.says) || (status == 0) != (stderr == "") {
			t.Errorf("%v: status %d, %q, %s; want %d, %q", c.args, status, stdout, stderr, c.status, c.says)
		}
		if strings.Contains(stderr, "sluice_") {
			t.Errorf("%v: the key is told: %s", c.args, stderr)
		}
	}
	want := []string{`{"text":"1"}`, `{"text":""}`, `{"text":"3"}`, `{"text":"4"}`, `{"base64":"/wo="}`, `{"text":"6"}`, `{"text":"7"}`}
	if r := <-tail; r.status != 0 || r.stdout != strings.Join(want, "\n")+"\n" {
		t.Errorf("tail: status %d, %s, %q", r.status, r.stdout, r.stderr)
	}
}

// Over TLS each command trusts the authority that it is told, and nobody else.
func TestCommandsTrustTheAuthorityThatTheyAreTold(t *testing.T) {
	authority, stranger := wstest.NewAuthority(t), wstest.NewAuthority(t)
	files := authority.Pair([2]string{}, "localhost")
	p := proctest.Launch(t, proctest.Command(t, "--tls-listen=127.0.0.1:0", "--tls-cert="+files[0], "--tls-key="+files[1], "--log-level=debug"))
	_, port, err := net.SplitHostPort(p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	at := "localhost:" + port
	tail := start(t, proctest.Command(t, "tail", "--url=wss://"+at, "--cacert="+authority.File, "--count=1", "news"))
	p.ExpectLog("client joined.*room=news")
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"health", "--timeout=1m", "https://" + at + "/livez", "--cacert=" + authority.File}, 0, "ok"},
		{[]string{"health", "--timeout=1m", "https://" + at + "/livez", "--insecure"}, 0, "ok"},
		{[]string{"health", "--timeout=1m", "https://" + at + "/livez"}, 1, "--cacert FILE says whom to trust"},
		{[]string{"health", "--timeout=1m", "https://" + at + "/livez", "--cacert=" + stranger.File}, 1, "unknown authority"},
		{[]string{"tail", "--url=wss://" + at, "--cacert=" + stranger.File, "news"}, 1, "unknown authority"},
		{[]string{"send", "--url=wss://" + at, "--cacert=" + stranger.File, "news"}, 1, "unknown authority"},
		{[]string{"send", "--url=wss://" + at, "--cacert=" + files[1], "news"}, 2, "there is no certificate in PEM"},
		{[]string{"send", "--url=wss://" + at, "--cacert=/nowhere", "news"}, 2, "--cacert: open /nowhere: no such file"},
		{[]string{"send", "--url=wss://" + at, "--cacert=" + authority.File, "--insecure", "news"}, 2, "--cacert and --insecure can't be used together"},
		{[]string{"send", "--url=wss://" + at, "--cacert=" + authority.File, "news"}, 0, ""},
	} {
		cmd := proctest.Command(t, c.args...)
		cmd.Stdin = strings.NewReader("hello\n")
		if status, stdout, stderr := proctest.Outcome(t, cmd); status != c.status || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("%v: status %d, said %q and %q, want %d and %q", c.args, status, stdout, stderr, c.status, c.says)
		}
	}
	if r := <-tail; r.status != 0 || r.stdout != "hello\n" {
		t.Errorf("tail: status %d, %q, %q", r.status, r.stdout, r.stderr)
	}
}

func TestSendAndTailSayHowTheyWereClosed(t *testing.T) {
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--max-message=10", "--log-level=debug"))
	tail := start(t, proctest.Command(t, "tail", "--url=ws://"+p.Addr, "news"))
	p.ExpectLog("client joined.*room=news")
	for _, c := range []struct {
		args        []string
		input, says string
	}{
		{[]string{"news"}, "this is more than ten", "1009 message too big"},
		{[]string{"news"}, "ok\n\xff", "line 2 is not UTF-8"},
		{[]string{"no such/room"}, "", "refused: 40"},
	} {
		cmd := proctest.Command(t, append([]string{"send", "--url=ws://" + p.Addr}, c.args...)...)
		cmd.Stdin = strings.NewReader(c.input)
		if status, _, stderr := proctest.Outcome(t, cmd); status != 1 || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: status %d, %s; want %q", c.input, status, stderr, c.says)
		}
	}
	p.Signal(syscall.SIGTERM)
	if r := <-tail; r.status != 1 || r.stdout != "ok\n" || !strings.Contains(r.stderr, "1001 going away") {
		t.Errorf("tail: status %d, %q, %q", r.status, r.stdout, r.stderr)
	}
	p.ExpectExit(0)
}

// What --web and --path-prefix say, and that another --web needs no restart.
func TestWebIsThePageOrADirectoryOrOff(t *testing.T) {
	hearHangups(t)
	dir := t.TempDir()
	name := filepath.Join(t.TempDir(), "sluice.yaml")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "index.html"), "ours")
	write(name, "path-prefix: /chat")
	p := proctest.Launch(t, proctest.Command(t, "--listen=127.0.0.1:0", "--config="+name))
	p.ExpectLog(`open the demo page" url=http://localhost:\d+/chat/`)
	page := func() (status int, body string) {
		t.Helper()
		c := wstest.Connect(t, p.Addr)
		c.Send(wstest.RequestHead("GET /chat/ HTTP/1.1", "Host: localhost"))
		r, body := c.Response()
		return r.StatusCode, body
	}
	if status, body := page(); status != 200 || !strings.Contains(body, "Sluice") {
		t.Errorf("the demo page: %d %.100q", status, body)
	}
	write(name, "path-prefix: /chat\nweb: "+dir)
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`msg=reloaded changed="web demo -> `)
	if status, body := page(); status != 200 || body != "ours" {
		t.Errorf("a directory: %d %.100q", status, body)
	}
	write(name, "path-prefix: /chat\nweb: off")
	p.Signal(syscall.SIGHUP)
	p.ExpectLog(`msg=reloaded changed="web .* -> off"`)
	if status, _ := page(); status != 404 {
		t.Errorf("off: %d", status)
	}
	if status, _, stderr := proctest.Outcome(t, proctest.Command(t, "--listen=127.0.0.1:0", "--web="+dir+"/none")); status != 1 || !strings.Contains(stderr, "neither demo nor off, nor a directory") {
		t.Errorf("no directory: %d, %s", status, stderr)
	}
}
