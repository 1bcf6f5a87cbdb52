package gateway

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"sluice/gateway/sse"
)

// A number as large as can be is taken or refused, whichever it is of.
func TestLargestNumbersAreTakenOrRefused(t *testing.T) {
	taken, fields := 0, reflect.VisibleFields(reflect.TypeFor[Options]())
	for _, f := range fields {
		o := Options{Loops: 1}
		v := reflect.ValueOf(&o).Elem().FieldByIndex(f.Index)
		if !v.CanInt() {
			continue
		}
		v.SetInt(1<<(v.Type().Bits()-1) - 1)
		s, err := New(o, nil)
		if err != nil {
			if o.Validate() == nil {
				t.Errorf("%s: %v", f.Name, err)
			}
			continue
		}
		taken++
		s.Close()
	}
	if taken < 10 {
		t.Errorf("of %d fields %d were taken", len(fields), taken)
	}
}

// However large a message is, its frame in the encoding that makes most of it is one that a log can
// count.
func TestLargestFrameIsCounted(t *testing.T) {
	const sample = 1 << 20
	largest := float64(messageMax) / sample * float64(sse.TextSize(bytes.Repeat([]byte{'\n'}, sample)))
	if largest > math.MaxUint32 {
		t.Errorf("the largest message makes an event of %.0f bytes", largest)
	}
}
