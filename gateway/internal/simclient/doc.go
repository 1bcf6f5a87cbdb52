// Package simclient is the half of the simulation that is not the gateway: the plan that a seed
// draws, the clients that follow their scripts through it, readers of events and subscribers of
// many rooms that come back again and again, and the parsers that take apart what they are sent.
// Commands and replies of the Centrifuge protocol go through the encoders and decoders that its
// SDKs use.
//
// It knows the simulated kernel and nothing of a gateway but its address. What somebody hears goes
// to a Judge; package gateway's tests have the oracle that is one, and the look at connections and
// loops.
package simclient
