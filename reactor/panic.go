package reactor

import (
	"runtime"
	"strings"
)

// A Panic is what was panicked with, and where. Whoever recovers it looks at what it passed, and so
// whose state is in doubt.
type Panic struct {
	Value any // as recover returned it
	calls []string
}

// RecoveredPanic describes the panic that the calling deferred function has just recovered, which
// was deferred by the function whose full name is given, as runtime.Frame has it.
func RecoveredPanic(value any, deferredBy string) Panic {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	// The stack has not unwound yet: the panic stands on it, on top of what panicked.
	p := Panic{Value: value}
	for hasPanicked := false; ; {
		frame, more := frames.Next()
		switch {
		case frame.Function == deferredBy:
			return p
		case strings.HasPrefix(frame.Function, "runtime."):
			hasPanicked = true
		case hasPanicked:
			p.calls = append(p.calls, frame.Function)
		}
		if !more { // Too deep to tell all that it passed.
			p.calls = append(p.calls, packageName)
			return p
		}
	}
}

// Passed reports whether code of a package, named by its import path, or of one below it, was
// running when the panic came. What follows the path narrows it down, as in "example/pkg.(*Type)".
func (p *Panic) Passed(name string) bool {
	for _, call := range p.calls {
		if rest, ok := strings.CutPrefix(call, name); ok && (rest == "" || rest[0] == '.' || rest[0] == '/') {
			return true
		}
	}
	return false
}

const (
	packageName = "sluice/reactor"
	callName    = packageName + ".(*Loop).call"
)

// call hands an event to its source. If that panics and somebody wants to hear of it, the loop goes
// on with the next event, whose edge would not come again.
func (l *Loop) call(s Source, ev Event) {
	if l.onPanic != nil {
		defer l.recovered(s)
	}
	s.OnEvent(l, ev)
}

func (l *Loop) recovered(s Source) {
	value := recover()
	if value == nil {
		return
	}
	p := RecoveredPanic(value, callName)
	if p.Passed(packageName) {
		panic(value) // The poller, the slab or the wheel may be broken, and everybody with them.
	}
	l.onPanic(s, p)
}
