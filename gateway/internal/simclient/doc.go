// Package simclient is the half of the simulation that is not the gateway: the plan that a seed draws, the
// clients that follow their scripts through it, and the parser that takes apart what they are sent.
//
// It knows the simulated kernel and nothing of a gateway but its address. What a client hears goes to a
// Judge; package gateway's tests have the oracle that is one, and the look at connections and loops.
package simclient
