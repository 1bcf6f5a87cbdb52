package load

import "testing"

func TestSizesStayInTheirRanges(t *testing.T) {
	for _, text := range []string{"64", "40..50", "chat", "ticker", "state"} {
		var s Sizes
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		low, high := s.Largest(), s.smallest()
		for seq := range uint32(100_000) {
			n := s.Of(3, seq)
			low, high = min(low, n), max(high, n)
		}
		if low < s.smallest() || high > s.Largest() || low > s.smallest()+8 || high < s.Largest()*9/10 {
			t.Errorf("%s: sizes from %d to %d, want %d to %d", text, low, high, s.smallest(), s.Largest())
		}
	}
	for _, text := range []string{"", "x", "1..", "..2", "9..8", "64KiB"} {
		if err := new(Sizes).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func TestCalmLoadIsItsReadersAlone(t *testing.T) {
	load := Load{Clients: 1000, Publishers: 2, Stalled: 100, Slow: Slow{N: 50, Rate: 1000}, Storm: 10, Messages: 7}
	calm := load.Calm()
	if want := (&Load{Clients: 750, Publishers: 2, Messages: 7}); calm.Clients != want.Clients || calm.CrowdSizes() != want.CrowdSizes() || calm.Messages != 7 {
		t.Errorf("calm is %+v", calm)
	}
	if load.Stalled != 100 {
		t.Error("the load itself has changed")
	}
}
