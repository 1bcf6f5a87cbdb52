package clustertest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"sluice/hub/cluster/natsbroker"
	"sluice/internal/natstest"
)

// What deploy/ has servers go by is read as they do, and lets a gateway do what it needs and
// nothing that only the servers should.
func TestDeployedServersAreFitForAGateway(t *testing.T) {
	t.Setenv("NATS_PASSWORD", "change-me")
	configurations := map[string]string{}
	for _, name := range []string{"nats.conf", "kubernetes.yaml"} {
		text, err := os.ReadFile("../../../deploy/cluster/" + name)
		if err != nil {
			t.Fatal(err)
		}
		configurations[name] = string(text)
	}
	for _, manifest := range strings.Split(configurations["kubernetes.yaml"], "\n---\n") {
		var m struct {
			Data map[string]string `yaml:"data"`
		}
		if err := yaml.Unmarshal([]byte(manifest), &m); err != nil {
			t.Fatal(err)
		}
		if text := m.Data["nats.conf"]; text != "" {
			configurations["kubernetes.yaml"] = text
		}
	}
	for name, text := range configurations {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "nats.conf")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			read, err := server.ProcessConfigFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(read.Routes) != 3 || read.StoreDir != "/data" || !read.JetStream {
				t.Errorf("%d routes, store %s", len(read.Routes), read.StoreDir)
			}
			if read.SyncInterval != 2*time.Minute { // As docs/operations.md promises: 2m without quotes is 23 days.
				t.Errorf("files are synced every %v", read.SyncInterval)
			}
			s := natstest.Start(t, func(o *server.Options) { o.Users, o.MaxPayload = read.Users, read.MaxPayload })
			url := strings.Replace(s.ClientURL(), "nats://", "nats://gateway:change-me@", 1)
			if found := natsbroker.Check(soon(t), withStream(url)); len(found) != 0 {
				t.Errorf("a check finds %v", found)
			}
			n := dial(t, withStream(url))
			if err := n.Subscribe(soon(t), "room"); err != nil {
				t.Fatal(err)
			}
			mustPublish(t, n, "room", "id", "x")
			if is := next(t, n); is.ID != "id" {
				t.Errorf("came %v", is)
			}
			if err := n.Purge(soon(t), "room", 2); err != nil {
				t.Error(err)
			}
			heard := make(chan []byte, 1)
			stop, err := n.Bus().Listen(heard, "sluice.node.all")
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			if err := n.Bus().Send("sluice.node.all", []byte("x")); err != nil {
				t.Error(err)
			}
			select {
			case <-heard:
			case <-soon(t).Done():
				t.Error("no note came")
			}
		})
	}
}
