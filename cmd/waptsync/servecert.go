package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// reloadedPair is a certificate and key in files that a renewal replaces.
type reloadedPair struct {
	cert, key string
	log       zerolog.Logger

	mu       sync.Mutex
	seen     [2]time.Time // mtimes of what was read last
	pair     *tls.Certificate
	troubled bool
}

// get returns the pair, read anew if a file changed. A new one that cannot be
// read leaves the old one in force: a renewal writes two files.
func (p *reloadedPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, err := mtimes(p.cert, p.key)
	if err == nil && p.pair != nil && now == p.seen {
		return p.pair, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(p.cert, p.key)
	}
	switch {
	case err == nil:
		p.pair, p.seen, p.troubled = &pair, now, false
	case p.pair == nil:
		return nil, fmt.Errorf("reading the certificate that agents see: %w", err)
	case !p.troubled:
		p.log.Error().Err(err).Msg("the certificate that agents see cannot be read any more; the one from before holds")
		p.troubled = true
	}
	return p.pair, nil
}

func mtimes(cert, key string) (out [2]time.Time, err error) {
	for i, path := range []string{cert, key} {
		info, err := os.Stat(path)
		if err != nil {
			return out, err
		}
		out[i] = info.ModTime()
	}
	return out, nil
}
