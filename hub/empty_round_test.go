package hub

import "testing"

// The only member of a room is ready and a round is due: being served, it finds its peer gone and
// leaves.
func TestRoundIsNotBegunBehindTheLastMembersLeave(t *testing.T) {
	f := newFixture(t, limits(32<<10, 16<<10))
	alone := f.join(0, "r")
	alone.room = 50
	alone.say(nil, numbered(0))
	f.flush()
	if !alone.IsBlocked() {
		t.Fatal("it is not blocked")
	}
	alone.say(nil, numbered(1)) // A mark, and so a round.
	alone.room, alone.leavesAt = -1, 1
	alone.Ready()
	f.flush()
	if n := f.hub.Rooms(); n != 0 || alone.IsIn() {
		t.Errorf("%d rooms are left, and the member is in one: %v", n, alone.IsIn())
	}
}
