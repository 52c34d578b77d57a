package main

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"waptsync/subscriber"
)

// parseOwner reads USER:GROUP, USER or :GROUP, by name or number; nil for an
// empty text.
func parseOwner(text string) (*subscriber.Owner, error) {
	if text == "" {
		return nil, nil
	}
	name, group, _ := strings.Cut(text, ":")
	o := &subscriber.Owner{UID: -1, GID: -1}
	var err error
	if name != "" {
		if o.UID, err = number(name, func() (string, error) {
			u, err := user.Lookup(name)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		}); err != nil {
			return nil, err
		}
	}
	if group != "" {
		if o.GID, err = number(group, func() (string, error) {
			g, err := user.LookupGroup(group)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		}); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// number reads an ID, or has its name looked up.
func number(text string, lookup func() (string, error)) (int, error) {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return n, nil
	}
	id, err := lookup()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(id)
	if err != nil {
		return 0, fmt.Errorf("%s has no number on this system (%s)", text, id)
	}
	return n, nil
}

// parseMode reads permission bits in octal; 0 for an empty text.
func parseMode(text string) (uint32, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return 0, fmt.Errorf("want permission bits in octal, as 0640 (got %q)", text)
	}
	return uint32(n), nil
}
