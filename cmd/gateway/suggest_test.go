package main

import "testing"

func TestNearestIsWhatWasMeant(t *testing.T) {
	names := []string{"serve", "health", "tail", "send", "max-message", "max-connections", "listen"}
	for word, want := range map[string]string{
		"helath": "health", "health": "health", "max_message": "max-message", "maxconnections": "max-connections",
		"max-mesage": "max-message", "lisen": "listen", "tial": "tail",
		"x": "", "": "", "something": "", "serverless": "",
	} {
		if want != "" {
			want = `did you mean "` + want + `"?`
		}
		if got := nearest(word, names); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
