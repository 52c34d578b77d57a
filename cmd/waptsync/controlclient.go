package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
)

// controlClient reaches the service that runs on a data folder.
type controlClient struct {
	data string
	http *http.Client
}

func newControlClient(data string) *controlClient {
	path := filepath.Join(data, socketName)
	dial := func(ctx context.Context, _, _ string) (c net.Conn, err error) {
		err = viaShortPath(path, func(short string) error {
			var d net.Dialer
			c, err = d.DialContext(ctx, "unix", short)
			return err
		})
		return c, err
	}
	return &controlClient{data, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// call sends in (nil for none) and reads the answer into out (nil to ignore it).
func (c *controlClient) call(ctx context.Context, method, path string, in, out any) error {
	body, err := c.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(body).Decode(out); err != nil {
		return fmt.Errorf("reading the service's answer: %w", err)
	}
	return nil
}

// open sends in and returns the answer's body, to be closed by the caller.
func (c *controlClient) open(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var sent bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&sent).Encode(in); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://waptsync"+path, &sent)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	var e apiError
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Error == "" {
		e = apiError{Error: "the service answered " + resp.Status,
			Hint: "is this the right service, and of this version? `waptsync status` says what runs on a data folder"}
	}
	code := exitError
	switch resp.StatusCode {
	case http.StatusBadRequest:
		code = exitUsage
	case http.StatusConflict:
		code = exitHeld
	}
	return nil, &hintError{errors.New(e.Error), e.Hint, code}
}

func (c *controlClient) unreachable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	cause := err
	var op *net.OpError
	if errors.As(err, &op) {
		cause = op.Err
	}
	e := &hintError{fmt.Errorf("no service answers in %s: %w", c.data, cause),
		"start `waptsync publish` or `waptsync subscribe`, or name its folder with --data", exitNotRunning}
	if errors.Is(err, fs.ErrPermission) {
		e.hint = "use sudo: only root and the service's own user reach it"
	}
	return e
}
