//go:build !linux

package main

import "errors"

// FloorCommand is for Linux: elsewhere it says so.
type FloorCommand struct {
	Listen string `help:"Where to listen." default:"127.0.0.1:8081" placeholder:"HOST:PORT"`
}

// Run refuses.
func (c *FloorCommand) Run() error {
	return errors.New("floor: needs Linux, because it is raw epoll")
}
