package hub

import "testing"

func TestTallyCountsAUserOnce(t *testing.T) {
	known := func(members int, keys ...uint64) Tally { return Tally{Members: members, Users: len(keys), Keys: keys} }
	for _, test := range []struct {
		name        string
		a, b        Tally
		members, of int
	}{
		{"one user on both", known(2, 1, 5), known(1, 5), 3, 2},
		{"different users", known(1, 9), known(2, 1, 2), 3, 3},
		{"nobody here", Tally{}, known(2, 4), 2, 1},
		{"too many to know there", known(1, 5), Tally{Members: 900, Users: 700}, 901, 701},
		{"and here", Tally{Members: 900, Users: 700}, known(1, 5), 901, 701},
		{"a room that does not keep who is there", Tally{Members: 3}, Tally{Members: 4}, 7, 0},
	} {
		sum := test.a
		if sum.Add(test.b); sum.Members != test.members || sum.Users != test.of {
			t.Errorf("%s: %d members and %d users, want %d and %d", test.name, sum.Members, sum.Users, test.members, test.of)
		}
	}
}
