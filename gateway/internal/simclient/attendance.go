//go:build linux

package simclient

import "math/rand/v2"

// AttendanceStream keeps what DrawAttendance draws apart from all else.
const AttendanceStream = 105

// DrawAttendance draws whether rooms keep who is there. Nobody acts otherwise for that.
func (p *Plan) DrawAttendance(r *rand.Rand) { p.KeepsAttendance = r.IntN(3) == 0 }
