package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"sluice/internal/testenv"
)

// What this machine lacks is not the server's fault. Relatives: ports, descriptors, and either of
// them for a client that returns in the middle of a run, which opens anew; TLS, whose connections
// are another dialer's; a helper process.
func TestN87_RunningOutIsSaidWithItsRemedy(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		testenv.LeaveOut(t, "a network of its own takes root")
	}
	for _, program := range []string{"unshare", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			testenv.LeaveOut(t, "%s is missing", program)
		}
	}
	floor := selfCommand(t, "floor --listen 127.0.0.1:$PORT")
	tool := selfCommand(t, "--quiet --messages 20 --warmup 0 --settle 0s --connect-timeout 20s --loss-timeout 20s --spawn \"$FLOOR\" ")
	const tenPorts = "ip link set lo up && echo '40000 40009' >/proc/sys/net/ipv4/ip_local_port_range && "
	for _, test := range []struct {
		name, script string
		status       int
		says         []string
	}{
		{"ports", tenPorts + tool + "--clients 50", exitUnreachable, []string{"ran out of local ports", "ip_local_port_range", "URL"}},
		{"ports, two processes", tenPorts + tool + "--clients 50 --processes 2", exitUnreachable, []string{"ran out of local ports"}},
		{"ports, TLS", tenPorts + tool + "--clients 50 --connect-timeout 500ms --insecure wss://127.0.0.1/", exitUnreachable, []string{"ran out of local ports"}},
		{"ports, at a return", tenPorts + tool + "--clients 9 --rate 50 --duration 1s --storm 50% & sleep 0.6; echo '40000 40000' >/proc/sys/net/ipv4/ip_local_port_range; wait $!", exitUnreachable, []string{"ran out of local ports"}},
		{"ports, that suffice", tenPorts + tool + "--clients 5", exitOK, []string{"100 of 100"}},
		{"descriptors", "ip link set lo up && ulimit -n 100 && " + tool + "--clients 200 --processes 1", exitUnreachable, []string{"ran out of descriptors", "ulimit -n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c", test.script)
			cmd.Env = append(os.Environ(), "FLOOR="+floor)
			said, err := cmd.CombinedOutput()
			if cmd.ProcessState == nil {
				t.Fatal(err)
			}
			if strings.Contains(string(said), "unshare failed") {
				testenv.LeaveOut(t, "no network of its own: %s", said)
			}
			if status := cmd.ProcessState.ExitCode(); status != test.status {
				t.Errorf("exit status %d, want %d", status, test.status)
			}
			for _, words := range test.says {
				if !strings.Contains(string(said), words) {
					t.Errorf("it does not say %q", words)
				}
			}
			if strings.Contains(string(said), "failed its clients") {
				t.Error("the server is said to be at fault")
			}
			if t.Failed() {
				t.Logf("%s", said)
			}
		})
	}
}
