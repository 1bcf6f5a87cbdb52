package gateway

import "slices"

// A top keeps the first of many by an order, up to a limit.
type top[T any] struct {
	limit   int
	compare func(a, b *T) int
	list    []T // a heap: the last by the order is in front
	at      int // where the one that was added last stands
}

// add reports whether one is among the first so far.
func (h *top[T]) add(one *T) bool {
	switch {
	case h.limit <= 0:
		return false
	case len(h.list) < h.limit:
		h.list = append(h.list, *one)
		h.at = len(h.list) - 1
		for h.at > 0 && h.compare(&h.list[(h.at-1)/2], &h.list[h.at]) < 0 {
			h.swap((h.at - 1) / 2)
		}
		return true
	case h.compare(one, &h.list[0]) >= 0:
		return false
	}
	h.list[0], h.at = *one, 0
	for {
		child := 2*h.at + 1
		if child+1 < len(h.list) && h.compare(&h.list[child], &h.list[child+1]) < 0 {
			child++
		}
		if child >= len(h.list) || h.compare(&h.list[h.at], &h.list[child]) >= 0 {
			return true
		}
		h.swap(child)
	}
}

func (h *top[T]) swap(with int) {
	h.list[h.at], h.list[with] = h.list[with], h.list[h.at]
	h.at = with
}

// last is the one that was added last.
func (h *top[T]) last() *T { return &h.list[h.at] }

// sorted is what it keeps, in order.
func (h *top[T]) sorted() []T {
	slices.SortFunc(h.list, func(a, b T) int { return h.compare(&a, &b) })
	return h.list
}
