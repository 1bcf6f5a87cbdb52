package gateway

import "time"

// A bucket is a token bucket that holds one second's worth, in one number: the time at which all
// that was taken from it will have flowed in again. That is the generic cell rate algorithm of
// ITU-T I.371 with a tolerance of a second. The zero bucket is full. Its clock must not run
// backwards by much: it would take that for being early.
type bucket time.Duration

// take takes n tokens of a bucket that gets rate of them a second, whether it has so many or not,
// and returns how long it is until it has again what it lacks now: zero or less when it lacks
// nothing. n is at most a few million.
func (b *bucket) take(n int, rate int64, now time.Duration) (lacks time.Duration) {
	*b = max(*b, bucket(now)) + bucket(int64(n)*int64(time.Second)/rate)
	return time.Duration(*b) - now - time.Second
}

// tryTake is take for one token, unless the bucket lacks it.
func (b *bucket) tryTake(rate int64, now time.Duration) bool {
	after := *b
	if after.take(1, rate, now) > 0 {
		return false
	}
	*b = after
	return true
}
