package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sluice/hub"
)

func TestQuestionsReachAllOthers(t *testing.T) {
	at := map[string]*gateway{}
	for _, name := range []string{"a", "b", "c"} {
		at[name] = &gateway{answer: func(q []byte) []byte { return fmt.Appendf(nil, `{"%s":%s}`, name, q) }}
	}
	all := running(t, newWire(), at)
	got, err := all["a"].Ask(t.Context(), []byte(`"who?"`))
	if err != nil || got.Asked != 2 {
		t.Fatal(got, err)
	}
	said := map[string]string{}
	for _, one := range got.From {
		said[one.Node] = string(one.Data)
	}
	want := map[string]string{all["b"].id: `{"b":"who?"}`, all["c"].id: `{"c":"who?"}`}
	if !maps.Equal(said, want) {
		t.Errorf("answers: %v, want %v", said, want)
	}
	all["b"].Tell([]byte(`{"news":1}`))
	until(t, func() bool {
		at["a"].mu.Lock()
		defer at["a"].mu.Unlock()
		return slices.Equal(at["a"].told, []string{`{"news":1}`})
	})
}

func TestWhoDoesNotAnswerIsCounted(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWire()
	w.largest = 64 << 10
	large := []byte(`"` + strings.Repeat("x", w.largest) + `"`)
	at := map[string]*gateway{
		"a":       {},
		"cannot":  {},
		"large":   {answer: func([]byte) []byte { return large }},
		"answers": {answer: func([]byte) []byte { return []byte(`1`) }},
	}
	all := running(t, w, at)
	got, err := all["a"].Ask(t.Context(), []byte(`1`))
	if err != nil || got.Asked != 3 || len(got.From) != 1 || got.From[0].Node != all["answers"].id {
		t.Errorf("%+v, %v", got, err)
	}
	if s := all["a"].Stats(); s.Unanswered != 2 || s.Asked != 1 {
		t.Errorf("%+v", s)
	}
	at["answers"].answer = func([]byte) []byte { <-release; return []byte(`1`) }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := all["a"].Ask(ctx, []byte(`1`)); err != nil || got.Asked != 3 || len(got.From) != 0 {
		t.Errorf("without time: %+v, %v", got, err)
	}
	if s := all["a"].Stats(); s.Unanswered != 2 || s.Asked != 2 {
		t.Errorf("who asked is gone: %+v", s)
	}
	close(release)
}

func TestQuestionsToANodeThatDiesAreNotWaitedFor(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.pass(soon)
	c.kill(1)
	done := make(chan hub.NodeAnswers)
	go func() {
		got, _ := c.nodes[0].Ask(context.Background(), []byte(`1`))
		done <- got
	}()
	var asked *asking
	until(t, func() bool {
		c.nodes[0].askMu.Lock()
		defer c.nodes[0].askMu.Unlock()
		for _, a := range c.nodes[0].waiting {
			asked = a
		}
		return asked != nil
	})
	c.nodes[0].forget(c.nodes[0].List()[1].ID, "the test says so")
	select {
	case <-asked.done:
	default:
		t.Error("it is waited for")
	}
	if got := <-done; got.Asked != 1 || len(got.From) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestTooManyQuestionsAndTellings(t *testing.T) {
	c := newCluster(t, "a", "b")
	c.pass(soon)
	for range asksMax {
		if _, err := c.nodes[0].beginAsking(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.nodes[0].Ask(t.Context(), []byte(`1`)); !errors.Is(err, ErrAsks) {
		t.Errorf("got %v", err)
	}
	// More than are answered at a time are answered at once: that they cannot be.
	for range tellsMax + 2 { // What is told waits for nobody.
		c.nodes[0].Tell([]byte(`1`))
	}
	if s := c.nodes[0].Stats(); s.Unsent != 2 {
		t.Errorf("%d were not sent, want 2", s.Unsent)
	}
	release := make(chan struct{})
	c.at[1].answer = func([]byte) []byte { <-release; return []byte(`1`) }
	for i := range answersMax + 3 {
		c.nodes[1].answerTo(t.Context(), c.nodes[0].id, &question{ID: uint64(i), What: json.RawMessage(`1`)})
	}
	if got := len(c.notes[0]); got != 3 {
		t.Errorf("%d are answered already, want 3", got)
	}
	close(release)
	c.nodes[1].answering.Wait()
}
