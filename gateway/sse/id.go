package sse

// An id is a position in a room: its epoch, which has EpochLen characters, a colon, and the offset
// with zeros in front. All are of one length, so that it can be written into an event that is
// there.
const (
	EpochLen  = 8
	offsetLen = 20 // of 2^64-1
	IDLen     = EpochLen + 1 + offsetLen
	IDLine    = len(idField) + IDLen + 1 // with what stands around it
)

// IDAt is where the id's place begins in what AppendID has appended to nothing.
const IDAt = len(idField)

const (
	idField = "id: "
	noID    = "--------:00000000000000000000"
)

// AppendID appends the line of an id, with a place for it.
func AppendID(dst []byte) []byte {
	dst = append(dst, idField...)
	return append(append(dst, noID...), '\n')
}

// PutID writes an id into a place of IDLen bytes. Of the epoch what is too long is left out.
func PutID(place []byte, epoch string, offset uint64) {
	copy(place[:EpochLen], epoch)
	for i := IDLen - 1; i > EpochLen; i-- {
		place[i] = '0' + byte(offset%10)
		offset /= 10
	}
}

// ID is the id as a text.
func ID(epoch string, offset uint64) string {
	place := []byte(noID)
	PutID(place, epoch, offset)
	return string(place)
}
