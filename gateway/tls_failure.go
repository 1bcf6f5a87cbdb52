package gateway

// A TLSFailure says why a connection did not come to speak TLS with the gateway. It is a fixed
// enumeration, like CloseReason: what clients send, names among it, makes no new one and is not
// logged.
type TLSFailure uint8

const (
	TLSNotTLS      TLSFailure = iota // it began with something else
	TLSHelloSize                     // its ClientHello was larger than MaxHead
	TLSVersion                       // it speaks no version that we do
	TLSCipher                        // it has no cipher, curve or signature that we have
	TLSServerName                    // it asked for a name that no certificate is for
	TLSALPN                          // it speaks only protocols that we do not, such as HTTP/2
	TLSClientCert                    // it showed no certificate of TLSClientCA's
	TLSRefused                       // it sent an alert: our certificate is not to its liking
	TLSTimeout                       // it was not done within HandshakeTimeout
	TLSGone                          // it vanished
	TLSCrowded                       // beyond TLSHandshakes, or its head beyond HeadMemory, it had been at it for longest
	TLSCut                           // the server drained
	TLSOther                         // it broke another rule, or a certificate's key failed
	NumTLSFailures                   // how many there are
)

// tlsFailures is what each is called, and what helps if such clients are honest.
var tlsFailures = [NumTLSFailures]struct{ label, hint string }{
	TLSNotTLS:     {"not_tls", "plain text on a TLS port: connect to wss:// or https://"},
	TLSHelloSize:  {"hello_size", ""},
	TLSVersion:    {"version", "the client speaks nothing from TLS 1.2 on"},
	TLSCipher:     {"cipher", ""},
	TLSServerName: {"server_name", "no certificate is for the name that the client asked for"},
	TLSALPN:       {"alpn", "the client offers no HTTP/1.1, which WebSockets need"},
	TLSClientCert: {"client_certificate", "it has to show one of --tls-client-ca"},
	TLSRefused:    {"refused", "the client does not trust the certificate: unknown authority, another name, or expired"},
	TLSTimeout:    {"timeout", ""},
	TLSGone:       {"gone", "some clients just go where they do not trust the certificate"},
	TLSCrowded:    {"crowded", "more handshakes at a time than --tls-handshakes"},
	TLSCut:        {"cut", ""},
	TLSOther:      {"other", ""},
}

func (f TLSFailure) String() string { return tlsFailures[f].label }

// isSilent reports whether nobody is there to be told, or it is not worth the time.
func (f TLSFailure) isSilent() bool {
	return f == TLSTimeout || f == TLSGone || f == TLSCrowded || f == TLSCut
}
