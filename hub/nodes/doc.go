// Package nodes is what the gateways of one cluster know of each other: who is there, how many are
// in which room on which of them, and what one asks of all others. It has nothing to do with
// messages and their order, which package cluster has: what it tells is of the moment, and none of
// it is kept.
//
//	gateway ──Report──▶ Nodes ──changes, all──▶ Bus ──▶ the other Nodes ──▶ Tally, List
//	        ──Ask────▶        ──question────▶       ──▶ Answer, on each
//
// One goroutine, in Run, does what comes from the Bus and sends reports. What others ask of this
// node is answered on goroutines of their own, a bounded number of them. Who may write to the Bus's
// subjects may do all that a node may: the broker has to see to it that only gateways do.
package nodes
