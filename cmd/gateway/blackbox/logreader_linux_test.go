package blackbox

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"sluice/internal/proctest"
)

// D09 where the log goes into a pipe: `gateway 2>&1 | tee log`, a container's or a service
// manager's.

// Its reader has ended. Go ends a program that writes to such a stdout or stderr by SIGPIPE, unless
// it says otherwise (os/signal, "SIGPIPE"): the next line in the log would cut every client.
func TestD09_ReaderOfTheLogIsGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	cmd := proctest.Command(t, "--listen=unix:"+path, "--log-level=debug", "--loops=2")
	reader, writer := pipe(t)
	cmd.Stdout, cmd.Stderr = writer, writer
	reader.Close()
	servesAndEnds(t, cmd, path)
}

// Its reader has stopped reading. A loop that waits for it would hold all of its clients.
func TestD09_ReaderOfTheLogHasStopped(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	cmd := proctest.Command(t, "--listen=unix:"+path, "--log-level=debug", "--loops=2")
	_, writer := pipe(t)
	if _, err := unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	servesAndEnds(t, cmd, path)
}

func pipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		reader.Close()
		writer.Close()
	})
	return reader, writer
}
