package main

import (
	"fmt"
	"slices"
	"strings"

	"sluice/gateway"
)

// A listening is an address and what is spoken there.
type listening struct {
	address string
	speaks  gateway.ListenOptions
}

// defaultListen is where the gateway listens unless it is told.
const defaultListen = ":8080"

// listenings are the addresses, plain ones first.
func (c *Config) listenings() (all []listening) {
	plain := c.Listen
	if len(plain)+len(c.TLSListen) == 0 {
		plain = []string{defaultListen}
	}
	for i, address := range append(slices.Clone(plain), c.TLSListen...) {
		all = append(all, listening{address, gateway.ListenOptions{
			TLS: i >= len(plain), ProxyProtocol: slices.Contains(c.ProxyProtocol, address),
		}})
	}
	return all
}

// listeningFault says what is wrong with the addresses together.
func (c *Config) listeningFault() string {
	for _, l := range c.listenings() {
		if fault := addressFault(l.address); fault != "" {
			flag := "--listen"
			if l.speaks.TLS {
				flag = "--tls-listen"
			}
			return fmt.Sprintf("%s %s: %s", flag, l.address, fault)
		}
	}
	for _, address := range c.ProxyProtocol {
		if !slices.ContainsFunc(c.listenings(), func(l listening) bool { return l.address == address }) {
			return fmt.Sprintf("--proxy-protocol %s: is neither a --listen nor a --tls-listen address, written alike", address)
		}
		if !strings.HasPrefix(address, "unix:") && len(networks(c.TrustedProxy)) == 0 {
			return fmt.Sprintf("--proxy-protocol %s: nobody may connect there without a --trusted-proxy network", address)
		}
	}
	switch {
	case len(c.TLSCert) != len(c.TLSKey):
		return fmt.Sprintf("--tls-cert, --tls-key: there are %d certificates and %d keys; each certificate has a key", len(c.TLSCert), len(c.TLSKey))
	case len(c.TLSListen) > 0 && len(c.TLSCert) == 0:
		return fmt.Sprintf("--tls-listen %s: needs --tls-cert and --tls-key", c.TLSListen[0])
	case len(c.TLSListen) == 0 && len(c.TLSCert) > 0:
		return "--tls-cert: is shown on --tls-listen addresses, and there is none"
	}
	return ""
}
