// Package auth tells a gateway who its clients are: by tokens that they bring (JWT), or by asking a
// service about each request (Service). Either is a gateway.Authenticator.
//
// What somebody may do is said by claims, in a token or in the service's answer:
//
//	{"sub": "ann", "exp": 1900000000, "caps": [{"rooms": ["chat.*"], "may": ["read", "publish"]}]}
//
// What no claim grants is denied, and no claim widens what a gateway's rules of rooms restrict. In
// patterns of rooms * stands for anything, dots too.
//
// Tokens and keys stand in no error that this package returns.
package auth
