//go:build !unix

package gateway

import "net"

// listenUnix binds a path. Here its mode and group are not ours to set.
func (c *config) listenUnix(path string) (net.Listener, error) { return net.Listen("unix", path) }
