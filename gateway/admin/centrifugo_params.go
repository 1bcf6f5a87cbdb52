package admin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"unicode/utf8"

	"sluice/gateway"
)

// params are the fields of a JSON object.
type params map[string]json.RawMessage

var errNoObject = errors.New("admin: not a JSON object, or one with a key twice")

// parseObject takes an object apart. One that has a key twice is refused: two readers of it might
// go by different ones.
func parseObject(text []byte) (params, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errNoObject
	}
	p := params{}
	for dec.More() {
		name, err := dec.Token()
		key, ok := name.(string)
		if _, isDouble := p[key]; err != nil || !ok || isDouble {
			return nil, errNoObject
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errNoObject
		}
		p[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, errNoObject
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNoObject
	}
	return p, nil
}

// parseParams takes the parameters of a command apart, of which there may be none.
func parseParams(text json.RawMessage) (params, error) {
	if isNothing(text) {
		return params{}, nil
	}
	return parseObject(text)
}

// isNothing reports whether a value is as good as none: some SDKs write what they were not given
// so, and Centrifugo takes it for left out.
func isNothing(value json.RawMessage) bool {
	switch string(value) {
	case "", "null", `""`, "[]":
		return true
	}
	return false
}

// text is a field that is a string.
func (p params) text(name string) (value string, ok bool) {
	given, ok := p[name]
	return value, ok && json.Unmarshal(given, &value) == nil && !bytes.Equal(given, []byte("null"))
}

// has reports whether a field is there, and says something.
func (p params) has(name string) bool { return !isNothing(p[name]) }

// read reads a field into what it has to be, if it says something.
func (p params) read(name string, to any) (ok bool) {
	return !p.has(name) || json.Unmarshal(p[name], to) == nil
}

// hasAny reports whether one of these fields says something.
func (p params) hasAny(names ...string) bool { return slices.ContainsFunc(names, p.has) }

// seconds is a field that is a time in Unix's seconds, which may not be there.
func (p params) seconds(name string) (n int64, ok bool) {
	ok = p.read(name, &n)
	return n, ok && n >= 0
}

// message makes a message of data or b64data.
func (p params) message() (m gateway.Message, f *fault) {
	if p.has("b64data") {
		text, ok := p.text("b64data")
		data, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil || p.has("data") {
			return m, &cBadRequest
		}
		return gateway.Message{Data: data, IsBinary: true}, nil
	}
	data := p["data"]
	switch {
	case data == nil:
		return m, &cBadRequest
	case data[0] == '"':
		text, ok := p.text("data")
		if !ok || !utf8.Valid(data) { // What is not would have been replaced.
			return m, &cBadRequest
		}
		return gateway.Message{Data: []byte(text)}, nil
	}
	var compact bytes.Buffer
	if json.Compact(&compact, data) != nil {
		return m, &cBadRequest
	}
	return gateway.Message{Data: compact.Bytes()}, nil
}
