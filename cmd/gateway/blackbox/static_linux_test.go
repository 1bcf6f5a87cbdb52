package blackbox

import (
	"debug/elf"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

// N49: what the README has people build asks for no loader and no library, and serves where there
// is no file but itself.
func TestN49_BuildLineOfTheReadmeIsStatic(t *testing.T) {
	testenv.LeaveToCI(t, "all is built anew for it")
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile("(?m)^.*go build .*-o bin/ ./cmd/gateway$").Find(readme)
	if line == nil {
		t.Fatal("README.md has no build line")
	}
	root := t.TempDir()
	program := filepath.Join(root, "gateway")
	build := exec.Command("sh", "-c", strings.Replace(string(line), "-o bin/", "-o "+root+"/", 1))
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	binary, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, p := range binary.Progs {
		if p.Type == elf.PT_INTERP {
			name, _ := io.ReadAll(p.Open())
			t.Errorf("it asks for the loader %q", name)
		}
	}
	if libraries, err := binary.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it asks for %q, %v", libraries, err)
	}

	if os.Getuid() != 0 {
		testenv.LeaveOut(t, "only root can change the root directory")
	}
	cmd := proctest.Command(t, "--listen=localhost:0")
	cmd.Path, cmd.SysProcAttr = "/gateway", &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/"
	p := proctest.Launch(t, cmd)
	r, err := http.Get("http://" + p.Addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Error(r.Status)
	}
	p.Signal(syscall.SIGTERM)
	p.ExpectExit(0)
}
