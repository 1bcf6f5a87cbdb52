// Program plantedrace changes memory while a system call reads or writes it. Built with -race it
// must be caught.
package main

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"sluice/hub"
	"sluice/reactor"
	"sluice/reactor/internal/sys"
)

func main() {
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var (
		kernel sys.Real
		buf    = make([]byte, 8)
		done   sync.WaitGroup
	)
	call := func() { kernel.Write(ends[1], buf) }
	switch os.Args[1] {
	case "read":
		call()
		call = func() { kernel.Read(ends[0], buf) }
	case "batch":
		call = func() { reactor.SendBatch(kernel, []reactor.Send{{FD: ends[1], Bytes: buf}}) }
	case "ring":
		r, err := reactor.OpenRing(kernel)
		if err != nil {
			fmt.Println(err)
			os.Exit(noRing)
		}
		call = func() { r.SendBatch([]reactor.Send{{FD: ends[1], Bytes: buf}}) } // Which is no socket, but the bytes are read before.
	case "log":
		var batch *hub.Batch
		batch, buf = publish()
		call = func() { reactor.SendBatch(kernel, []reactor.Send{{FD: ends[1], Bytes: batch.Deliveries[0].Bytes}}) }
	}
	done.Go(func() { buf[3] = 1 })
	if len(os.Args) > 2 && os.Args[2] == "ordered" {
		done.Wait()
	}
	call()
	done.Wait()
}

// noRing is the status where this system has none.
const noRing = 3

// publish has a hub hand over what a member gets of a room's log, and returns those bytes, too.
func publish() (*hub.Batch, []byte) {
	h, err := hub.New(hub.Options{
		Limits:    hub.Limits{Backlog: 1 << 20, Window: 1 << 20, Total: 1 << 20, Pinned: 1 << 20, Turn: 1 << 20},
		Encodings: []hub.EncodingInfo{{Name: "plain"}},
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var (
		taken  keep
		member hub.Member
		clock  = func() time.Duration { return 0 }
		fan    = h.NewFanout(func() {}, &taken)
	)
	if _, err := fan.Join(0, "r", 0, hub.Start{}, &member, nil); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	member.Publish(0, message{})
	fan.Flush(clock)
	return taken.batch, taken.batch.Deliveries[0].Bytes
}

// keep is a transport that leaves the writing to others.
type keep struct{ batch *hub.Batch }

func (k *keep) Send(b *hub.Batch) { k.batch = b }

type message struct{}

func (message) Encode(hub.Encoding) hub.Frame { return hub.Frame{Payload: []byte("0123456789")} }
