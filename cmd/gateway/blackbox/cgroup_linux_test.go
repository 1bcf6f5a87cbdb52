package blackbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

// newGroup makes a control group with a limit on memory, of whichever version there is, with
// another one inside. It ends with the test.
func newGroup(t *testing.T, limit int64) string {
	t.Helper()
	for _, v := range []struct{ mount, file string }{
		{"/sys/fs/cgroup", "memory.max"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
		outer, inner := filepath.Join(v.mount, fmt.Sprintf("sluice-test-%d", os.Getpid())), ""
		inner = filepath.Join(outer, "inner")
		if os.MkdirAll(inner, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(inner); os.Remove(outer) })
		f, err := os.OpenFile(filepath.Join(outer, v.file), os.O_WRONLY, 0) // It is there if this is a hierarchy with the controller.
		if err != nil {
			continue
		}
		_, err = f.WriteString(strconv.FormatInt(limit, 10))
		f.Close()
		if err == nil {
			return inner
		}
	}
	testenv.LeaveOut(t, "no control group that limits memory can be made: it takes root, and a hierarchy that has the controller")
	return ""
}

// N89 with a real group: the gateway keeps to three quarters of its container's memory, and says
// so, unless it is told otherwise.
func TestN89_ContainersLimitIsKept(t *testing.T) {
	t.Parallel()
	const limit = 256 << 20
	group := newGroup(t, limit)
	for _, tc := range []struct{ env, said string }{
		{"", fmt.Sprintf(`three quarters of the container's".*bytes=(%d)`, limit/4*3)},
		{"GOMEMLIMIT=100MiB", `limited by GOMEMLIMIT" bytes=(104857600)`},
		{"GOMEMLIMIT=off", ""},
	} {
		cmd := proctest.Command(t, "--listen=127.0.0.1:0")
		cmd.Args = append([]string{"sh", "-c", `echo $$ > "$0/cgroup.procs" && exec "$@"`, group, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		if cmd.Env = append(cmd.Env, "GOMEMLIMIT="); tc.env != "" {
			cmd.Env = append(cmd.Env, tc.env)
		}
		p := proctest.Launch(t, cmd)
		if tc.said != "" {
			p.ExpectLog(tc.said)
		} else if log := p.Logged(); strings.Contains(log, "memory is limited") {
			t.Errorf("%s: it says\n%s", tc.env, log)
		}
		_ = cmd.Process.Kill()
		<-p.Ended
	}
}
