package blackbox

import (
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/internal/proctest"
	"sluice/internal/testenv"
)

// A composeFile is what these tests know of one.
type composeFile struct {
	Services map[string]struct {
		Environment map[string]string `yaml:"environment"`
		Networks    []string          `yaml:"networks"`
		Volumes     []string          `yaml:"volumes"`
		DependsOn   []string          `yaml:"depends_on"`
		Grace       time.Duration     `yaml:"stop_grace_period"`
	} `yaml:"services"`
	Networks map[string]any `yaml:"networks"`
	Volumes  map[string]any `yaml:"volumes"`
}

// What the services of deploy/compose.yaml say of each other is so: names, networks, files,
// volumes. That NATS' file is fit is a test of hub/cluster/clustertest.
func TestComposedServicesFitTogether(t *testing.T) {
	files := deployed(t)
	var c composeFile
	if err := yaml.Unmarshal([]byte(files["compose.yaml"]), &c); err != nil {
		t.Fatal(err)
	}
	gateways, servers, names := 0, 0, map[string]bool{}
	for name, s := range c.Services {
		for _, n := range s.Networks {
			if _, ok := c.Networks[n]; !ok {
				t.Errorf("%s: there is no network %s", name, n)
			}
		}
		for _, on := range s.DependsOn {
			if other, ok := c.Services[on]; !ok || !shares(s.Networks, other.Networks) {
				t.Errorf("%s does not reach %s", name, on)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			path, isFile := strings.CutPrefix(from, "./")
			if _, ok := c.Volumes[from]; !isFile && !ok || isFile && files[path] == "" {
				t.Errorf("%s: there is no %s", name, from)
			}
		}
		if strings.HasPrefix(name, "nats") {
			if servers++; !strings.Contains(files["cluster/nats.conf"], "nats://"+name+":6222") {
				t.Errorf("no route leads to %s", name)
			}
		}
		addresses := s.Environment["SLUICE_CLUSTER"]
		if addresses == "" {
			continue
		}
		gateways++
		names[s.Environment["SLUICE_CLUSTER_NODE"]] = true
		if !regexp.MustCompile(`server \w+ ` + name + `:8080\n`).MatchString(files["cluster/haproxy.cfg"]) {
			t.Errorf("HAProxy does not know %s", name)
		}
		for address := range strings.SplitSeq(addresses, ",") {
			u, err := url.Parse(address)
			if err != nil || !shares(s.Networks, c.Services[u.Hostname()].Networks) || u.Port() != "4222" {
				t.Errorf("%s does not reach %s", name, address)
			}
		}
		gateway := proctest.Command(t, "config", "print")
		for key, value := range s.Environment {
			gateway.Env = append(gateway.Env, key+"="+value)
		}
		if status, _, stderr := proctest.Outcome(t, gateway); status != 0 {
			t.Errorf("%s: %s", name, stderr)
		}
	}
	if gateways != 3 || servers != 3 || len(names) != 3 {
		t.Errorf("%d gateways of %d names, %d servers", gateways, len(names), servers)
	}
}

// A composed gateway that is stopped serves on until HAProxy has seen that it goes, and has time to
// drain then.
func TestComposedGatewaysOutliveTheirBalancersNotice(t *testing.T) {
	files := deployed(t)
	var c composeFile
	if err := yaml.Unmarshal([]byte(files["compose.yaml"]), &c); err != nil {
		t.Fatal(err)
	}
	seconds := func(file, pattern string) (all time.Duration) {
		m := regexp.MustCompile(pattern).FindStringSubmatch(files[file])
		if m == nil {
			t.Fatalf("%s: nothing as %s", file, pattern)
		}
		all = time.Second
		for _, text := range m[1:] {
			n, _ := strconv.Atoi(text)
			all *= time.Duration(n)
		}
		return all
	}
	notice := seconds("cluster/haproxy.cfg", `check inter (\d+)s fall (\d+)`)
	drain := seconds("Dockerfile", `ENV SLUICE_DRAIN_TIMEOUT=(\d+)s`) + 2*time.Second // and for what is not acknowledged yet
	gateways := 0
	for name, s := range c.Services {
		if s.Environment["SLUICE_CLUSTER"] == "" {
			continue
		}
		gateways++
		delay, err := time.ParseDuration(s.Environment["SLUICE_DRAIN_DELAY"])
		if err != nil || delay <= notice || s.Grace <= delay+drain {
			t.Errorf("%s: a delay of %v (%v), noticed within %v; %v in all, of which the drain takes %v", name, delay, err, notice, s.Grace, drain)
		}
	}
	if gateways != 3 {
		t.Errorf("%d gateways", gateways)
	}
}

func shares(a, b []string) bool {
	return slices.ContainsFunc(a, func(n string) bool { return slices.Contains(b, n) })
}

// The gateways and servers of deploy/cluster/kubernetes.yaml name each other, and the gateways'
// file has no fault.
func TestDeployedClusterOfPodsFitsTogether(t *testing.T) {
	text := deployed(t)["cluster/kubernetes.yaml"]
	kinds, configuration := map[string]int{}, ""
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var m struct {
			Kind     string                                 `yaml:"kind"`
			Metadata struct{ Name string }                  `yaml:"metadata"`
			Data     map[string]string                      `yaml:"data"`
			Spec     struct{ Replicas, MaxUnavailable int } `yaml:"spec"`
		}
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds[m.Kind]++
		if m.Data["sluice.yaml"] != "" {
			configuration = m.Data["sluice.yaml"]
		}
		if (m.Kind == "Deployment" || m.Kind == "StatefulSet") && m.Spec.Replicas != 3 {
			t.Errorf("%s has %d replicas", m.Metadata.Name, m.Spec.Replicas)
		}
	}
	if kinds["ConfigMap"] != 2 || kinds["Deployment"] != 1 || kinds["StatefulSet"] != 1 || kinds["Service"] != 2 || kinds["PodDisruptionBudget"] != 2 {
		t.Errorf("%v", kinds)
	}
	for _, pod := range []string{"nats-0.nats", "nats-1.nats", "nats-2.nats"} {
		if !strings.Contains(text, "@"+pod+":4222") || !strings.Contains(text, "nats://"+pod+":6222") {
			t.Errorf("%s is not named by gateways and servers", pod)
		}
	}
	file := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := proctest.Outcome(t, proctest.Command(t, "config", "check", file)); status != 0 {
		t.Error(stderr)
	}
}

// HAProxy takes its file, with addresses for the names that only the containers' network has.
func TestDeployedHAProxyFileHasNoFault(t *testing.T) {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		testenv.LeaveOut(t, "haproxy is not here: %v", err)
	}
	text := regexp.MustCompile(` gateway\d:`).ReplaceAllString(deployed(t)["cluster/haproxy.cfg"], " 127.0.0.1:")
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(haproxy, "-c", "-f", file).CombinedOutput(); err != nil || strings.Contains(string(out), "WARNING") {
		t.Errorf("%v:\n%s", err, out)
	}
}
