package natstest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"sluice/internal/testenv"
)

// Start runs a server with JetStream in this process until the test ends. What changes there is of
// its options may be changed beforehand.
func Start(t testing.TB, changes ...func(*server.Options)) *server.Server {
	t.Helper()
	o := options(t.TempDir(), server.RANDOM_PORT)
	for _, change := range changes {
		change(o)
	}
	return run(t, o)
}

// StartCluster runs so many servers, which know each other. Their streams have leaders when this
// returns.
func StartCluster(t testing.TB, n int, changes ...func(*server.Options)) []*server.Server {
	t.Helper()
	ports := Ports(t, n)
	all := make([]*server.Server, n)
	for i := range all {
		o := options(t.TempDir(), server.RANDOM_PORT)
		join(o, i, ports)
		for _, change := range changes {
			change(o)
		}
		all[i] = run(t, o)
	}
	testenv.Eventually(t, "a leader of the cluster", func() bool {
		return slices.ContainsFunc(all, (*server.Server).JetStreamIsLeader)
	})
	return all
}

// End ends a server as SIGTERM does. It may have ended.
func End(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func options(store string, port int) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: port, StoreDir: store, JetStream: true, JetStreamMaxStore: 8 << 30, JetStreamMaxMemory: 2 << 30,
		NoLog: true, NoSigs: true, DisableShortFirstPing: true,
	}
}

// join makes the server one of a cluster.
func join(o *server.Options, i int, ports []int) {
	o.ServerName = serverName(i)
	o.Cluster = server.ClusterOpts{Name: ClusterName(ports), Host: "127.0.0.1", Port: ports[i]}
	for k, port := range ports {
		if k != i {
			o.Routes = append(o.Routes, server.RoutesFromStr(fmt.Sprintf("nats://127.0.0.1:%d", port))...)
		}
	}
}

func run(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { End(s) })
	if !s.ReadyForConnections(testenv.Patience) {
		t.Fatal("the NATS server does not start")
	}
	return s
}

// ClusterName is the name of a cluster whose servers meet at these ports. Servers of different
// names do not take each other for their own, whatever port they find them at.
func ClusterName(ports []int) string { return fmt.Sprint("test-", ports[0]) }

func serverName(i int) string { return string(rune('a' + i)) }
