package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"sluice/gateway"
	"sluice/gateway/admin"
)

// An adminServer is what --admin-listen asks for. A nil one is none.
type adminServer struct {
	handler   *admin.Handler
	keys      admin.Keys
	server    *admin.Server
	listeners []net.Listener
	ended     chan error // one from each listener
	log       *slog.Logger
}

// newAdminServer opens the admin listeners. It serves when told to.
func newAdminServer(c *Config, s *gateway.Server, joined *clustering, log *slog.Logger, out *logWriter) (*adminServer, error) {
	if len(c.AdminListen) == 0 {
		return nil, nil
	}
	options, err := c.adminOptions(log)
	if err != nil {
		return nil, err
	}
	a := &adminServer{log: log, keys: options.Keys}
	if a.handler, err = admin.New(s, options); err != nil {
		return nil, err
	}
	tail, _ := log.Handler().(*admin.Tail) // newLogger has made one.
	a.handler.AddFigures(s, admin.FigureOptions{Dropped: out.Dropped, Tail: tail, Cluster: joined.figures()})
	a.server = admin.NewServer(a.handler, log)
	for _, address := range c.AdminListen {
		opened, err := gateway.OpenListeners(address, os.FileMode(c.AdminSocketMode), c.AdminSocketGroup)
		a.listeners = append(a.listeners, opened...)
		if err != nil {
			a.close()
			return nil, fmt.Errorf("--admin-listen %s: %w", address, err)
		}
	}
	return a, nil
}

// serve answers until close.
func (a *adminServer) serve() {
	if a == nil {
		return
	}
	a.ended = make(chan error, len(a.listeners))
	for _, l := range a.listeners {
		a.log.Info("the admin listener is open", "address", l.Addr().String())
		if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			a.log.Warn("the admin listener is not on loopback alone, and does not encrypt: keys can be read on the way",
				"address", l.Addr().String(), "hint", "a proxy that ends TLS, or --admin-listen unix:/path")
		}
		go func() {
			err := a.server.Serve(l)
			if !errors.Is(err, http.ErrServerClosed) {
				a.log.Error("an admin listener cannot go on", "error", err)
			}
			a.ended <- err
		}()
	}
}

// reload makes it go by a configuration that was read anew, and by the keys that the file has now.
// use is what else goes by it; after an error of that, or of the key file, all stays as it was.
func (a *adminServer) reload(c *Config, use func() error) error {
	if a == nil {
		return use()
	}
	options, err := c.adminOptions(a.log)
	if err != nil {
		return err
	}
	if err := use(); err != nil {
		return err
	}
	if !a.keys.Equal(&options.Keys) {
		a.log.Info("the admin keys are others", "keys", options.Keys.Len())
	}
	a.keys = options.Keys
	return a.handler.Reload(options)
}

// adminGrace is how long requests that are under way have when all else has ended.
const adminGrace = time.Second

// drain lets requests end that are under way, and closes. It is the last to go: whoever looks at a
// gateway that drains sees it to the end.
func (a *adminServer) drain() {
	if a == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminGrace)
	defer cancel()
	_ = a.server.Shutdown(ctx) // What is left is cut.
	a.close()
}

// close cuts what there is. It may be called more than once.
func (a *adminServer) close() {
	if a == nil {
		return
	}
	_ = a.server.Close()
	for range cap(a.ended) {
		<-a.ended
	}
	a.ended = nil
	for _, l := range a.listeners {
		l.Close()
	}
	a.listeners = nil
}

// adminDescriptors is how many descriptors the admin listeners and their connections may take.
func (c *Config) adminDescriptors() int {
	if len(c.AdminListen) == 0 {
		return 0
	}
	return len(c.AdminListen) + admin.ConnectionsMax
}

// adminOptions are what the API goes by.
func (c *Config) adminOptions(log *slog.Logger) (admin.Options, error) {
	keys, err := c.adminKeys(log)
	return admin.Options{
		Keys: keys, AllowHost: c.AllowHost, PublishRate: c.PublishRate, Version: version(), Log: log,
	}, err
}

// adminKeys reads --admin-key-file. Without one there are no keys.
func (c *Config) adminKeys(log *slog.Logger) (admin.Keys, error) {
	if c.AdminKeyFile == "" {
		return admin.Keys{}, nil
	}
	text, err := os.ReadFile(c.AdminKeyFile)
	if err != nil {
		return admin.Keys{}, fmt.Errorf("--admin-key-file: %w", err)
	}
	keys, err := admin.ParseKeys(string(text))
	if err != nil {
		return admin.Keys{}, fmt.Errorf("--admin-key-file %s: %w", c.AdminKeyFile, err)
	}
	if info, err := os.Stat(c.AdminKeyFile); err == nil && info.Mode().Perm()&0o027 != 0 && runtime.GOOS != "windows" {
		log.Warn("others may read or write the file of the admin keys", "file", c.AdminKeyFile,
			"mode", fmt.Sprintf("%#o", info.Mode().Perm()), "hint", "chmod 0600")
	}
	return keys, nil
}

// adminFault says what is wrong with the flags of the admin listener; empty: nothing.
func adminFault(c *Config) string {
	for _, address := range c.AdminListen {
		fault := addressFault(address)
		switch {
		case strings.HasPrefix(address, "unix:@"):
			fault = "is a socket without a file, so that nothing would say who may connect: unix:/path"
		case strings.HasPrefix(address, systemdPrefix):
			fault = "is for --listen alone: 127.0.0.1:8081, or unix:/path"
		}
		if fault != "" {
			return fmt.Sprintf("--admin-listen %s: %s", address, fault)
		}
		if !strings.HasPrefix(address, "unix:") && c.AdminKeyFile == "" {
			return fmt.Sprintf("--admin-listen %s: needs --admin-key-file, on loopback too, where pages in a browser of this machine "+
				"can send requests to it; gateway key > FILE makes a key. A unix socket needs none: --admin-listen unix:/path", address)
		}
	}
	return ""
}
