package blackbox

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

// What stands in deploy/ is copied by people who then find out that it does not work. What CI
// cannot run, an image and a cluster, is held to what it says here.

// foreign are flags in deploy/ that are other programs'.
var foreign = strings.Fields("--now --from --interval --start-period --stop-timeout --ulimit --memory --build --name --from-literal")

// deployed are the files of deploy/, by their paths there.
func deployed(t *testing.T) map[string]string {
	t.Helper()
	root := "../../../deploy"
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		all[name] = string(text)
		return err
	})
	if err != nil || len(all) < 8 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	return all
}

func TestDeployNamesOnlyFlagsThatExist(t *testing.T) {
	known := slices.Clone(foreign)
	for _, command := range []string{"serve", "health"} {
		_, help, _ := proctest.Outcome(t, proctest.Command(t, command, "--help"))
		known = append(known, regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(help, -1)...)
	}
	found := 0
	for name, text := range deployed(t) {
		flags := regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(text, -1)
		for _, variable := range regexp.MustCompile(`(?:^|[^._])SLUICE_([A-Z_]+[A-Z])`).FindAllStringSubmatch(text, -1) { // A bucket of the servers' is called alike.
			flags = append(flags, "--"+strings.ToLower(strings.ReplaceAll(variable[1], "_", "-")))
		}
		for _, flag := range flags {
			found++
			if !slices.Contains(known, flag) {
				t.Errorf("%s: there is no %s", name, flag)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d flags were found", found)
	}
}

func TestDeployedConfigurationsHaveNoFault(t *testing.T) {
	files := deployed(t)
	configurations := map[string]string{"sluice.yaml": files["sluice.yaml"]}
	// Kubernetes' manifests are parsed, and the file that one of them holds is tried.
	manifests := yaml.NewDecoder(strings.NewReader(files["kubernetes.yaml"]))
	kinds := 0
	for {
		var manifest struct {
			Kind string            `yaml:"kind"`
			Data map[string]string `yaml:"data"`
			Spec struct {
				Template struct {
					Spec struct {
						Grace      int `yaml:"terminationGracePeriodSeconds"`
						Containers []struct {
							Env []struct {
								Name  string `yaml:"name"`
								Value string `yaml:"value"`
							} `yaml:"env"`
							Lifecycle struct {
								PreStop struct {
									Sleep struct {
										Seconds int `yaml:"seconds"`
									} `yaml:"sleep"`
								} `yaml:"preStop"`
							} `yaml:"lifecycle"`
						} `yaml:"containers"`
					} `yaml:"spec"`
				} `yaml:"template"`
			} `yaml:"spec"`
		}
		err := manifests.Decode(&manifest)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("kubernetes.yaml: %v", err)
		}
		kinds++
		for name, text := range manifest.Data {
			configurations["kubernetes: "+name] = text
		}
		if manifest.Kind == "Deployment" {
			pod := manifest.Spec.Template.Spec
			var drain time.Duration
			for _, one := range pod.Containers[0].Env {
				if one.Name == "SLUICE_DRAIN_TIMEOUT" {
					drain, _ = time.ParseDuration(one.Value)
				}
			}
			sleep := time.Duration(pod.Containers[0].Lifecycle.PreStop.Sleep.Seconds) * time.Second
			if grace := time.Duration(pod.Grace) * time.Second; sleep == 0 || drain == 0 || grace <= sleep+drain {
				t.Errorf("a pod has %v to go, of which preStop takes %v and the drain %v", grace, sleep, drain)
			}
		}
	}
	if kinds != 3 || len(configurations) != 2 {
		t.Errorf("%d manifests, and %d files: %v", kinds, len(configurations), configurations)
	}
	for name, text := range configurations {
		file := filepath.Join(t.TempDir(), "sluice.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if status, _, stderr := proctest.Outcome(t, proctest.Command(t, "config", "check", file)); status != 0 {
			t.Errorf("%s: %s", name, stderr)
		}
	}
}

// The environment wins over a file: what the image sets there, a file that is mounted would say in
// vain.
func TestMountedFilesSayNothingThatTheImageHasSaid(t *testing.T) {
	files := deployed(t)
	set := regexp.MustCompile(`SLUICE_([A-Z_]+)=`).FindAllStringSubmatch(files["Dockerfile"], -1)
	if len(set) == 0 {
		t.Fatal("the image sets nothing")
	}
	for _, variable := range set {
		flag := strings.ToLower(strings.ReplaceAll(variable[1], "_", "-"))
		for _, name := range []string{"sluice.yaml", "kubernetes.yaml", "cluster/kubernetes.yaml"} {
			if regexp.MustCompile(`(?m)^ *` + flag + `:`).MatchString(files[name]) {
				t.Errorf("%s says %s, which the image's SLUICE_%s overrules", name, flag, variable[1])
			}
		}
	}
}

// drainTimeoutOf is what a configuration says, or the default.
func drainTimeoutOf(t *testing.T, configuration string) time.Duration {
	t.Helper()
	if m := regexp.MustCompile(`(?m)^drain-timeout: (\S+)`).FindStringSubmatch(configuration); m != nil {
		d, err := time.ParseDuration(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	return 10 * time.Second
}

// The unit's own checks, and that it kills nobody before the drain is over.
func TestSystemdUnitsHaveNoFault(t *testing.T) {
	files := deployed(t)
	service := files["systemd/sluice.service"]
	stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(\S+)`).FindStringSubmatch(service)
	if stop == nil {
		t.Fatal("no TimeoutStopSec")
	}
	if d, err := time.ParseDuration(stop[1]); err != nil || d <= drainTimeoutOf(t, files["sluice.yaml"])+time.Second {
		t.Errorf("systemd kills after %v, %v", d, err)
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		testenv.LeaveOut(t, "systemd-analyze is not here: %v", err)
	}
	gateway := proctest.Command(t).Path
	suggestion := regexp.MustCompile(`(?m)^#([A-Z]\w+=)`)
	for what, with := range map[string]string{"as they are": "#$1", "with what they suggest": "$1"} {
		dir := t.TempDir()
		for _, name := range []string{"sluice.service", "sluice.socket"} {
			unit := strings.ReplaceAll(files["systemd/"+name], "/usr/local/bin/gateway", gateway)
			if err := os.WriteFile(filepath.Join(dir, name), suggestion.ReplaceAll([]byte(unit), []byte(with)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var said bytes.Buffer
		verify := exec.Command(analyze, "verify", "--man=no", filepath.Join(dir, "sluice.service"), filepath.Join(dir, "sluice.socket"))
		verify.Stdout, verify.Stderr = &said, &said
		if err := verify.Run(); err != nil || strings.Contains(said.String(), dir) {
			t.Errorf("%s: %v:\n%s", what, err, said.String())
		}
	}
}

// The blocks of docs/internet.md are the files of deploy/proxies, which TestProxiesOfTheDocument
// runs.
func TestDeployHasTheProxiesOfTheDocument(t *testing.T) {
	files := deployed(t)
	for name, block := range map[string]struct {
		language string
		n        int
	}{"nginx.conf": {"nginx", 0}, "haproxy.cfg": {"haproxy", 0}, "apache.conf": {"apache", 0}, "Caddyfile": {"caddyfile", 0}, "nginx-rooms.conf": {"nginx", 2}} {
		if files["proxies/"+name] != blockOf(t, block.language, block.n) {
			t.Errorf("deploy/proxies/%s is not what docs/internet.md has", name)
		}
	}
}
