package hub

import (
	"context"
	"time"
)

// Tune replaces what tests must not wait for, or cannot bring about.
func (c *Client) Tune(sleep func(time.Duration), stall time.Duration) {
	c.stall = stall
	c.sleep = func(ctx context.Context, d time.Duration) error {
		sleep(d)
		return ctx.Err()
	}
}

func (c *Client) SetFree(free func(string) (uint64, bool))           { c.free = free }
func (c *Client) SetSymlink(symlink func(target, name string) error) { c.symlink = symlink }

var CheckPath = checkPath
