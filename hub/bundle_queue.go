package hub

// A bundleQueue is a loop's bundles that wait for their turns. One may be in both parts.
type bundleQueue struct {
	little queue[*Bundle] // a reader has little to get, and waits
	much   queue[*Bundle]
}

func (q *bundleQueue) len() int { return q.little.len() + q.much.len() }

func (q *bundleQueue) push(k *Bundle, isLittle bool) {
	switch {
	case k.queued&byLittle != 0: // What is left behind that turn has another.
	case isLittle:
		k.queued |= byLittle
		q.little.push(k)
	case k.queued == 0:
		k.queued |= byMuch
		q.much.push(k)
	}
}

// pop takes the bundle whose turn it is, and says whether that is for the sake of those with
// little.
func (q *bundleQueue) pop(isLittleFirst bool) (k *Bundle, isForLittle bool) {
	if q.much.len() == 0 || isLittleFirst && q.little.len() > 0 {
		k = q.little.pop()
		k.queued &^= byLittle
		return k, true
	}
	k = q.much.pop()
	k.queued &^= byMuch
	return k, false
}
