package admin

import (
	"bufio"
	"strings"
	"testing"
)

// A line of which a part is left out is too long, whatever the part that is kept looks like; the
// next one is read whole.
func TestLineThatIsCutIsTooLong(t *testing.T) {
	const max = 1 << 10
	text := "1" + strings.Repeat(" ", 60*max) + "2\n3\n"
	l := lineReader{from: bufio.NewReaderSize(strings.NewReader(text), lineSize), max: max}
	if line, err := l.next(); err != errLongLine {
		t.Errorf("%q, %v", line, err)
	}
	if line, err := l.next(); string(line) != "3" || err != nil {
		t.Errorf("behind it %q, %v", line, err)
	}
}
