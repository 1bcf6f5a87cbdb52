package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sluice/loadtest/internal/load"
)

// peerPrograms are the servers of loadtest/peers, which are a module of its own.
var peerPrograms = []string{"gorilla", "gws", "nbio", "gobwas"}

// programs are where the servers' binaries are, by the names that sides have for them.
type programs map[string]string

// build makes the servers in dir, but for a gateway that is given. The peers are asked for, because
// Go may have to fetch the libraries that they are made of.
func build(ctx context.Context, dir, gateway string, peers bool) (programs, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	all := programs{"floor": self, "gateway": gateway}
	if gateway == "" {
		all["gateway"] = filepath.Join(dir, "gateway")
		if err := goBuild(ctx, "", all["gateway"], "sluice/cmd/gateway"); err != nil {
			return nil, fmt.Errorf("%w\nrun it in the source of the gateway, or name one with --gateway", err)
		}
	}
	if !peers {
		return all, nil
	}
	source, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "sluice/loadtest").Output()
	if err != nil {
		return nil, fmt.Errorf("--peers: run it in the source of the gateway: %w", err)
	}
	for _, name := range peerPrograms {
		all[name] = filepath.Join(dir, name)
		if err := goBuild(ctx, filepath.Join(strings.TrimSpace(string(source)), "peers"), all[name], "./"+name); err != nil {
			return nil, fmt.Errorf("--peers: %w", err)
		}
	}
	return all, nil
}

// goBuild builds one package; without a directory in the working directory.
func goBuild(ctx context.Context, dir, output, what string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", output, what)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("go build %s: %w: %s", what, err, strings.TrimSpace(string(said))), ctx.Err())
	}
	return nil
}

// command is how the shell starts a side's server, with its port in $PORT.
func (p programs) command(s *side) string {
	words := []string{"exec", "'" + strings.ReplaceAll(p[s.program], "'", `'\''`) + "'"}
	if s.program == "floor" {
		words = append(words, "floor")
	}
	return strings.TrimSpace(strings.Join(append(words, "--listen 127.0.0.1:$PORT", s.flags), " "))
}

// checkGateway says before all else that a gateway which was named is none.
func checkGateway(path string) error {
	if path == "" {
		return nil
	}
	if _, err := exec.LookPath(path); err != nil {
		return load.UsageError{Err: fmt.Errorf("--gateway: %w", err)}
	}
	return nil
}
