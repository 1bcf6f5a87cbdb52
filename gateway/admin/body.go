package admin

import (
	"bytes"
	"errors"
	"mime"
	"net/http"
	"strings"
	"sync"

	"sluice/gateway"
)

// A kind is what the body of a request is.
type kind uint8

const (
	isText kind = iota
	isBinary
	isBatch
)

// kindOf tells by a request's head what its body is. What curl -d says, who means no form by it, is
// text.
func kindOf(head http.Header) (kind, *fault) {
	if e := head.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return 0, &faultEncoding
	}
	given := head.Get("Content-Type")
	if given == "" {
		return isText, nil
	}
	name, params, err := mime.ParseMediaType(given)
	charset := params["charset"]
	family, rest, _ := strings.Cut(name, "/")
	switch {
	case err != nil, family == "multipart":
		return 0, &faultType
	case name == "application/x-ndjson", name == "application/ndjson", name == "application/jsonl":
		return isBatch, nil
	case family == "text", strings.HasSuffix(rest, "+json"), strings.HasSuffix(rest, "+xml"), rest == "json", rest == "xml",
		rest == "javascript", rest == "x-www-form-urlencoded":
		if charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
			return 0, &faultType
		}
		return isText, nil
	}
	return isBinary, nil
}

// bodies are buffers for them. Large ones are left to the collector.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const pooledMax = 64 << 10

// readBody reads a body of at most max bytes, and hands it to use, which may not keep it.
func readBody(w http.ResponseWriter, r *http.Request, max int64, use func([]byte)) *fault {
	if r.ContentLength > max {
		w.Header().Set("Connection", "close")
		return faultOf(gateway.ErrTooLarge)
	}
	b := bodies.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= pooledMax {
			b.Reset()
			bodies.Put(b)
		}
	}()
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, max)); err != nil {
		return faultOfBody(w, err)
	}
	use(b.Bytes())
	return nil
}

func faultOfBody(w http.ResponseWriter, err error) *fault {
	w.Header().Set("Connection", "close") // Where it would have ended is not known.
	if large := new(http.MaxBytesError); errors.As(err, &large) {
		return faultOf(gateway.ErrTooLarge)
	}
	return &faultBody
}
