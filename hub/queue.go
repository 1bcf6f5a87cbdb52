package hub

// A queue is a first-in, first-out list that uses its memory again.
type queue[T any] struct {
	items []T
	head  int // first of items that is still in
}

func (q *queue[T]) len() int { return len(q.items) - q.head }

// first is the one that pop would return. There must be one.
func (q *queue[T]) first() T { return q.items[q.head] }

func (q *queue[T]) push(v T) { q.items = append(q.items, v) }

func (q *queue[T]) pop() T {
	var none T
	v := q.items[q.head]
	q.items[q.head] = none
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head >= 1024 && q.head*2 >= len(q.items) {
		q.items = append(q.items[:0], q.items[q.head:]...)
		q.head = 0
	}
	return v
}
