package bus

import (
	"fmt"
	"time"
)

const (
	// farAway is the round trip from which on one connection may not fill a line
	// that loses packets: what TCP gets is in inverse proportion to the round trip
	// and to the root of the loss (Mathis et al., ACM CCR 1997). With 300 ms and
	// 1 % loss it was two thirds of 2 Mbit/s.
	farAway = 100 * time.Millisecond
	// farLinks are made then beside the bulk connection.
	farLinks = 2
	// turnLook is the least time between two measurements, made when bulk flows.
	turnLook = 5 * time.Second
)

// bulkLink is the bulk connection with the fewest bytes in flight.
func (c *Client) bulkLink() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.far == nil && !c.closed && time.Since(c.measured) >= turnLook {
		c.measured = time.Now()
		go c.measureTurn()
	}
	best := c.bulk
	for _, l := range c.far {
		if up, _, _ := l.state(); up && l.inFlight.Load() < best.inFlight.Load() {
			best = l
		}
	}
	return best
}

// measureTurn makes further bulk connections if the main is far away. They are
// kept, and they may be away while the client counts as connected.
func (c *Client) measureTurn() {
	turn, err := c.events.conn.RTT()
	if err != nil || turn < farAway {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.far != nil || c.closed {
		return
	}
	for i := range farLinks {
		l, err := newLink(&c.options, fmt.Sprint("bulk", i+2), bulkPing, bulkPings, func() {})
		if err != nil {
			c.options.Log.Warn().Err(err).Msg("no further connection for a line with long turns")
			return
		}
		c.far = append(c.far, l)
	}
	c.options.Log.Debug().Dur("round_trip", turn).Msg("further connections fill a line with long turns")
}
