// Package sdktest drives the SDKs of Centrifugo that people have, as their programs do:
// centrifuge-go in JSON and in protobuf, and centrifuge of npm on node and in Chromium, each in a
// process of its own. All do the same things and record the same events, so that a test is written
// once; and a Log, which forgets nothing, judges what they were given.
//
// The program for npm's is in internal/realclients, whose install.sh installs it. One that is
// missing leaves the calling test out, with the reason; with SLUICE_CI=1 in the environment that is
// a failure.
package sdktest
