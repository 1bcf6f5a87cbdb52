//go:build !unix

package natstest

// Main does nothing: servers are run as processes where there are signals.
func Main() {}
