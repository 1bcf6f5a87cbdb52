package process

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"sluice/loadtest/internal/dial"
	"sluice/loadtest/internal/load"
	"sluice/reactor"
	"sluice/wsproto"
)

// headMax is the longest response head that is waited for.
const headMax = 16 << 10

// open begins to connect. Whatever comes of it is told to opened, once.
func (c *client) open() {
	c.state = connecting
	to := c.target()
	if to.TLS != nil {
		c.openTLS()
		return
	}
	fd, err := dial.Start(to.Addr, c.source())
	if err != nil {
		c.noteExhaustion(err)
		c.end(FaultConnect, err.Error())
		return
	}
	c.token, err = c.w.loop.Register(fd, reactor.Readable|reactor.Writable, reactor.Edge, c)
	if err != nil {
		_ = c.w.kernel.Close(fd)
		c.end(FaultConnect, err.Error())
		return
	}
	c.fd = int32(fd)
	c.w.loop.SetTimer(c.token, c.w.process.cfg.ConnectTimeout)
}

// target is where the client connects.
func (c *client) target() *load.Target {
	return c.room.target.For(c.index < c.w.process.cfg.Publishers)
}

// source is the address to connect from.
func (c *client) source() netip.Addr {
	tag := &c.w.process.tag
	return dial.Source(c.target().Addr.Addr(), c.index, tag[0]^tag[7]<<4)
}

// connected sends the request once the kernel has connected.
func (c *client) connected() {
	if errno, err := c.w.kernel.Option(int(c.fd), reactor.PendingError); err != nil || errno != 0 {
		if err == nil {
			err = syscall.Errno(errno)
		}
		c.end(FaultConnect, err.Error())
		return
	}
	// Without it a publisher's second message waits for an answer.
	_ = c.w.kernel.SetOption(int(c.fd), reactor.NoDelay, 1)
	c.request()
}

// request asks for a WebSocket, or for events.
func (c *client) request() {
	if c.opening = (&opening{}); c.events != nil {
		c.out = c.appendAsk(nil)
	} else {
		c.out = c.appendUpgrade(nil)
	}
	c.state = upgrading
	c.armed = true // As registered: flush will leave Readable alone.
	c.flush()
}

func (c *client) appendUpgrade(dst []byte) []byte {
	var nonce [16]byte
	binary.NativeEndian.PutUint64(nonce[:], rand.Uint64())
	binary.NativeEndian.PutUint64(nonce[8:], rand.Uint64())
	c.opening.key = base64.StdEncoding.EncodeToString(nonce[:])
	return wsproto.AppendClientHandshake(dst, c.target().Host, c.room.path, c.opening.key, c.w.process.headers...)
}

// answered takes the response's head, and returns what came behind it.
func (c *client) answered(p []byte) (rest []byte) {
	o := c.opening
	if len(o.head) > 0 {
		p = append(o.head, p...)
	}
	end := wsproto.HeadEnd(p, o.seen)
	if end == 0 {
		if len(p) > headMax {
			c.end(FaultConnect, "the response head does not end")
			return nil
		}
		o.head, o.seen = slices.Clone(p), len(p)
		return nil
	}
	var err error
	if c.events != nil {
		err = c.events.begin(p[:end])
	} else {
		c.deflates, err = wsproto.CheckServerHandshake(p[:end], o.key, c.w.process.cfg.Compress)
	}
	if err != nil {
		c.isPutOff = isForTheMoment(p[:end])
		c.end(FaultConnect, err.Error())
		return nil
	}
	c.opening = nil
	c.out = nil
	if c.subscriber != nil {
		c.state = subscribing
		c.introduce()
	} else {
		c.enter()
	}
	return p[end:]
}

// enter ends the opening: the client is in its rooms.
func (c *client) enter() {
	c.state = joined
	c.w.loop.SetTimer(c.token, 0)
	c.opened(FaultNone, "")
	c.join()
}

// join makes the client a receiver of its room's streams. One that returns goes on with its
// sequence check.
func (c *client) join() {
	if !c.wasJoined {
		for m := range c.each {
			m.join()
		}
	}
	c.wasJoined = true
	switch c.kind {
	case load.KindReader:
		for m := range c.each {
			m.room.live.Add(1)
		}
	case load.KindSlow:
		c.w.loop.SetTimer(c.token, time.Second/slowBeats)
	}
}

// opened tells the run how the opening ended.
func (c *client) opened(f Fault, why string) {
	c.w.opening--
	if f != FaultNone {
		if c.triesAgain(why) {
			return
		}
		c.w.faults.add(f, why)
	}
	if c.returning {
		c.returned(f == FaultNone)
		return
	}
	if f != FaultNone {
		c.w.process.rank.Stats.Totals.Failed.Add(1)
	}
	c.w.process.clientOpened()
}
