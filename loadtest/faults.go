package main

import (
	"cmp"
	"maps"
	"slices"
)

// A fault is something that happened to a connection, not to a message.
type fault uint8

const (
	faultNone fault = iota
	faultConnect
	faultClosed
	faultProtocol
	numFaults
)

// faults count connections by what happened to them, and keep some of the words.
type faults struct {
	count [numFaults]int
	words map[string]int
}

// maxWords bounds the different explanations that are kept.
const maxWords = 32

func (f *faults) add(kind fault, why string) { f.addN(kind, why, 1) }

func (f *faults) addN(kind fault, why string, n int) {
	f.count[kind] += n
	f.say(why, n)
}

func (f *faults) say(why string, n int) {
	if f.words == nil {
		f.words = make(map[string]int)
	}
	if _, known := f.words[why]; !known && len(f.words) >= maxWords {
		why = "other reasons"
	}
	f.words[why] += n
}

func (f *faults) merge(o *faults) {
	for kind, n := range o.count {
		f.count[kind] += n
	}
	for why, n := range o.words {
		f.say(why, n)
	}
}

// explain lists the explanations, the most frequent first.
func (f *faults) explain() []string {
	return slices.SortedFunc(maps.Keys(f.words), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.words[b], f.words[a]), cmp.Compare(a, b))
	})
}
