package sys

// A Send is one write of a batch: these bytes to this socket, which must not block.
type Send struct {
	FD    int
	Bytes []byte
	N     int   // how many of Bytes the kernel took
	Err   error // as of Calls.Write; nil, too, if it took fewer than there are
}

// A Completion says what became of one send of a batch that a ring was handed.
type Completion struct {
	Index  uint64 // of the send in its batch
	Result int32  // how many bytes were taken; below zero: the errno, negated
}
