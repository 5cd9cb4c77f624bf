package gateway

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// tunnel forwards bytes both ways after the copy has agreed to another protocol. It returns when both directions ended.
func (c *call) tunnel(u *upstream) error {
	c.code = http.StatusSwitchingProtocols
	parent := c.r.Context() // a timeout is for requests; this is a conversation now
	nc, rw, err := http.NewResponseController(c.w).Hijack()
	if err != nil {
		return fmt.Errorf("taking over a connection: %w", err)
	}
	defer nc.Close()
	u.nc.SetDeadline(time.Time{})
	unhook := context.AfterFunc(parent, func() { nc.Close(); u.nc.Close() })
	defer unhook()
	out := u.resp.appendStatus(nil)
	for i := range u.resp.fields {
		if f := &u.resp.fields[i]; !hopByHop(f.id) && !named(&u.resp.head, u.resp.connection, f) {
			out = u.resp.appendLine(out, f)
		}
	}
	out = append(u.resp.appendUpgrade(out), "\r\n"...)
	if _, err := nc.Write(out); err != nil {
		return errClientGone
	}
	early, _ := rw.Reader.Peek(rw.Reader.Buffered()) // what is buffered is there
	first := &buffer{b: early, w: len(early)}
	var wg sync.WaitGroup
	wg.Go(func() { oneWay(u.nc, nc, first) })
	oneWay(nc, u.nc, &u.in)
	wg.Wait()
	return nil
}
