// Package natstest runs NATS servers for tests: in the test's process, or as processes of their
// own, which are the test's binary run again.
package natstest
