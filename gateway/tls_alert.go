package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
)

// Alerts of RFC 8446 §6 that tell failures apart.
const (
	alertHandshakeFailure  = 40
	alertProtocolVersion   = 70
	alertUnrecognizedName  = 112
	alertCertificateNeeded = 116
	alertNoProtocol        = 120
)

// failureOf tells why a handshake ended with err: by the error's type, and by the alert that
// crypto/tls sent for it. What the error says in words may have the client's in it.
// lacksCertificate is what it is taken for if neither tells: sealed, an alert cannot be told.
func failureOf(err error, alert byte, lacksCertificate bool) TLSFailure {
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return TLSGone
	case errors.As(err, &op) && op.Op == "remote error":
		return TLSRefused
	case errors.As(err, &cert):
		return TLSClientCert
	}
	switch alert {
	case alertProtocolVersion:
		return TLSVersion
	case alertHandshakeFailure:
		return TLSCipher
	case alertUnrecognizedName:
		return TLSServerName
	case alertNoProtocol:
		return TLSALPN
	case alertCertificateNeeded:
		return TLSClientCert
	}
	if lacksCertificate {
		return TLSClientCert
	}
	return TLSOther
}

// count counts and logs a failure.
func (t *secured) count(why TLSFailure) {
	c := t.c
	c.w.stats.TLS.Failed[why]++
	skipped, ok := c.w.server.samples.handshake[why].Take(c.w.kernel.Now())
	if !ok {
		return
	}
	line := []any{"reason", why.String(), "from", c.from(), "and_more", skipped}
	if hint := tlsFailures[why].hint; hint != "" {
		line = append(line, "hint", hint)
	}
	c.w.log.Info("TLS handshake failed", line...)
}
