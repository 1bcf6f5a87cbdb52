// Package testenv is what tests of whole programs ask of their surroundings: patience on a busy
// machine, processors, tools, a heap at rest, and that nothing is left behind.
package testenv
