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
	Count [numFaults]int
	Words map[string]int
}

// maxWords bounds the different explanations that are kept.
const maxWords = 32

func (f *faults) add(kind fault, why string) { f.addN(kind, why, 1) }

func (f *faults) addN(kind fault, why string, n int) {
	f.Count[kind] += n
	f.say(why, n)
}

func (f *faults) say(why string, n int) {
	if f.Words == nil {
		f.Words = make(map[string]int)
	}
	if _, known := f.Words[why]; !known && len(f.Words) >= maxWords {
		why = "other reasons"
	}
	f.Words[why] += n
}

func (f *faults) merge(o *faults) {
	for kind, n := range o.Count {
		f.Count[kind] += n
	}
	for why, n := range o.Words {
		f.say(why, n)
	}
}

// explain lists the explanations, the most frequent first.
func (f *faults) explain() []string {
	return slices.SortedFunc(maps.Keys(f.Words), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.Words[b], f.Words[a]), cmp.Compare(a, b))
	})
}
