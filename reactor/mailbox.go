package reactor

import "sync"

// A mailbox holds the tasks that other goroutines posted to a loop. It is bounded: a full one
// refuses, so that a loop which has fallen behind is not buried.
type mailbox struct {
	mu     sync.Mutex
	tasks  []func(*Loop)
	spare  []func(*Loop) // the slice emptied last, to be filled next
	limit  int
	closed bool
}

func (m *mailbox) put(task func(*Loop)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.tasks) >= m.limit {
		return false
	}
	m.tasks = append(m.tasks, task)
	return true
}

// take empties the mailbox. The slice is valid until the next take.
func (m *mailbox) take() []func(*Loop) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tasks := m.tasks
	m.tasks, m.spare = m.spare[:0], tasks
	return tasks
}

// close refuses tasks from here on.
func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}
