package admin

const (
	channelsMax = 1000 // of one broadcast, and of one answer
	commandsMax = 1000 // of one request
)

// What only Centrifugo's form refuses, in its words.
var (
	cBadRequest    = fault{Text: "bad request", centrifugo: 107}
	cNotAvailable  = fault{Text: "not available", centrifugo: 108}
	cUnknownMethod = fault{Text: "method not found", centrifugo: 104}
	cUnrecoverable = fault{Text: "unrecoverable position", centrifugo: 112}
	cTooMany       = fault{Text: "limit exceeded: more than 1000 channels or commands", centrifugo: 106}
)

// An errorJSON is a fault as Centrifugo tells it.
type errorJSON struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// A reply is the answer to one command.
type reply struct {
	Error  *errorJSON `json:"error,omitempty"`
	Result any        `json:"result,omitempty"`
}

func replyOf(result any, f *fault) reply {
	if f == nil {
		return reply{Result: result}
	}
	code := f.centrifugo
	if code == 0 {
		code = 100
	}
	return reply{Error: &errorJSON{code, f.Text}}
}

// replies are the answer to a batch.
type replies struct {
	Replies []any `json:"replies"`
}

// cFaultOf is faultOf, but that a room that does not keep something is no missing one there.
func cFaultOf(err error) *fault {
	f := faultOf(err)
	if f.Code == "no_history" || f.Code == "no_presence" {
		return &cNotAvailable
	}
	return f
}
