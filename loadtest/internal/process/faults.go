package process

import (
	"cmp"
	"maps"
	"slices"
)

// A Fault is something that happened to a connection, not to a message.
type Fault uint8

const (
	FaultNone     Fault = iota
	FaultConnect        // it did not open
	FaultClosed         // the server ended it
	FaultProtocol       // the server broke RFC 6455 on it
	numFaults
)

// Faults count connections by what happened to them, and keep some of the words.
type Faults struct {
	Count [numFaults]int
	Words map[string]int
}

// maxWords bounds the different explanations that are kept.
const maxWords = 32

func (f *Faults) add(kind Fault, why string) { f.addN(kind, why, 1) }

func (f *Faults) addN(kind Fault, why string, n int) {
	f.Count[kind] += n
	f.say(why, n)
}

func (f *Faults) say(why string, n int) {
	if f.Words == nil {
		f.Words = make(map[string]int)
	}
	if _, known := f.Words[why]; !known && len(f.Words) >= maxWords {
		why = "other reasons"
	}
	f.Words[why] += n
}

func (f *Faults) merge(o *Faults) {
	for kind, n := range o.Count {
		f.Count[kind] += n
	}
	for why, n := range o.Words {
		f.say(why, n)
	}
}

// Explain lists the explanations, the most frequent first.
func (f *Faults) Explain() []string {
	return slices.SortedFunc(maps.Keys(f.Words), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.Words[b], f.Words[a]), cmp.Compare(a, b))
	})
}
