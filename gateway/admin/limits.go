package admin

// What one request may ask for. Beyond it the request is refused, in words that name the bound.
const (
	// batchMax and linesMax bound one batch, in bytes, unless one message may be larger, and in
	// lines.
	batchMax = 16 << 20
	linesMax = 10_000
	// profileMax is how long a profile or a trace may be taken, in seconds.
	profileMax = 300
)
