// Package wstest plays the clients of a gateway: one that writes chosen bytes, crowds that check
// every message, those that stop reading or flood, and the network in between.
//
// What they send is made, and what they hear is read, by implementations that are not the
// gateway's: gobwas/ws, coder/websocket, gorilla/websocket and the standard library.
package wstest
