package gateway

import "testing"

func TestLastIsANumberOrAll(t *testing.T) {
	for query, want := range map[string]int{
		"": 0, "last=0": 0, "last=1": 1, "last=12&echo=1": 12, "last=all": lastMax, "last=2147483647": lastMax, "l%61st=3": 3, "last=5&last=5": 5,
		"Last=7": 0, "blast=7": 0, "token=last=7": 0,
		"last=": -1, "last": -1, "last=-1": -1, "last=1.5": -1, "last=ALL": -1, "last=+1": -1, "last=1&last=2": -1, "last=2147483648": -1, "last=%zz": -1, "last=9e3": -1,
	} {
		n, refusal := lastOf([]byte(query))
		if refusal != nil {
			n = -1
		}
		if n != want {
			t.Errorf("%q: %d, want %d", query, n, want)
		}
	}
}
