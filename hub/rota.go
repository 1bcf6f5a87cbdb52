package hub

// push puts r at the rota's end.
func (k *Bundle) push(r *Reader) {
	r.isWaiting, r.next = true, nil
	if k.back == nil {
		k.front = r
	} else {
		k.back.next = r
	}
	k.back = r
	k.waiting++
}

// pop takes the first reader out of the rota.
func (k *Bundle) pop() { k.replace(k.front, nil) }

// replace puts another in r's place in the rota, or nobody.
func (k *Bundle) replace(r, by *Reader) {
	at, before, no := &k.front, (*Reader)(nil), int32(0)
	for *at != r {
		before, no = *at, no+1
		at = &before.next
	}
	next := r.next
	r.isWaiting, r.next, r.offer = false, nil, 0
	if by != nil {
		by.isWaiting, by.next = true, next
		*at = by
	} else {
		by = before
		*at = next
		k.waiting--
		if no < k.parts {
			k.parts--
		}
	}
	if next == nil {
		k.back = by
	}
}

// toFront puts r first.
func (k *Bundle) toFront(r *Reader) {
	if k.front == r {
		return
	}
	if r.isWaiting {
		k.replace(r, nil)
	} else if r.m.state == writable {
		r.m.handed = waits
	}
	r.isWaiting, r.next = true, k.front
	if k.front = r; k.back == nil {
		k.back = r
	}
	k.waiting++
}
