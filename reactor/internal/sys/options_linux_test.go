package sys

import "testing"

// Options set once on the listening socket cost nothing per accept.
func TestAcceptedSocketInheritsOptions(t *testing.T) {
	var kernel Real
	l, addr := listen(t)
	want := map[Option]int{NoDelay: 1, KeepAlive: 1, KeepIdle: 77, NotSentLowat: 65536, UserTimeout: 20_000}
	for option, value := range want {
		if err := kernel.SetOption(l, option, value); err != nil {
			t.Fatal(err)
		}
	}
	accepted, _ := connect(t, l, addr)
	defer kernel.Close(accepted)
	for option, value := range want {
		if got, err := kernel.Option(accepted, option); err != nil || got != value {
			t.Errorf("option %d of the accepted socket is %d, %v; want %d", option, got, err, value)
		}
	}
}

func TestOptionsAreNotSetByThemselves(t *testing.T) {
	var kernel Real
	l, addr := listen(t)
	accepted, _ := connect(t, l, addr)
	defer kernel.Close(accepted)
	for _, option := range []Option{NoDelay, KeepAlive, UserTimeout} {
		if got, err := kernel.Option(accepted, option); err != nil || got != 0 {
			t.Errorf("option %d is %d, %v", option, got, err)
		}
	}
}
