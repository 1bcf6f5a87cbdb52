package admin

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestTailKeepsTheNewestLines(t *testing.T) {
	var out bytes.Buffer
	tail := NewTail(slog.NewTextHandler(&out, nil))
	log := slog.New(tail)
	for i := range 3*tailLines + 7 {
		log.Info(fmt.Sprint("line-", i), "text", strings.Repeat("x", 2*tailBytes))
	}
	lines := tail.lines()
	if len(lines) != tailLines || cap(tail.kept.lines) > 2*tailLines {
		t.Fatalf("%d lines", len(lines))
	}
	for i, l := range lines {
		if want := fmt.Sprintf("msg=line-%d ", 3*tailLines+6-i); !strings.HasPrefix(l.text, want) || len(l.text) > tailBytes {
			t.Errorf("line %d: %d bytes %.40s, want %s", i, len(l.text), l.text, want)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 3*tailLines+7 {
		t.Errorf("%d lines were handed on", n)
	}
}
