package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"github.com/nats-io/nats.go"
)

// controlLine is the longest line of the protocol that a NATS server sends
// before a message.
const controlLine = 4 << 10

// splitter is the bulk connection as nats.go sees it: without the messages of
// answers, which it hands to their router in memory that is used again. nats.go
// copies each of them twice, the second time to fresh memory, and clearing and
// collecting that costs as much as TLS does.
//
// All it knows of the NATS protocol are the two lines that announce a message,
//
//	MSG <subject> <sid> [reply-to] <bytes>
//	HMSG <subject> <sid> [reply-to] <header bytes> <all bytes>
//
// see https://docs.nats.io/reference/reference-protocols/nats-protocol.
type splitter struct {
	net.Conn
	answers *replyRouter

	buf      [controlLine]byte
	from, to int  // of buf: what was read and not passed on
	pass     int  // how much of what comes belongs to a message for nats.go
	inLine   bool // a line for nats.go was passed on in part
}

// Read gives what is no answer. It returns only with such bytes or an error.
func (s *splitter) Read(b []byte) (int, error) {
	for {
		if s.from == s.to && s.pass > 0 {
			n, err := s.Conn.Read(b[:min(len(b), s.pass)])
			s.pass -= n
			return n, err
		}
		if s.from == s.to {
			if err := s.fill(); err != nil {
				return 0, err
			}
		}
		if s.pass == 0 && !s.inLine && (s.buf[s.from] == 'M' || s.buf[s.from] == 'H') {
			if err := s.message(); err != nil {
				return 0, err
			}
			continue
		}
		if n := s.copyOut(b); n > 0 {
			return n, nil
		}
	}
}

// fill reads more behind what is in buf. It reads little, so that most of an
// answer goes straight to where it is used.
func (s *splitter) fill() error {
	if s.from > 0 {
		s.to = copy(s.buf[:], s.buf[s.from:s.to])
		s.from = 0
	}
	n, err := s.Conn.Read(s.buf[s.to:])
	s.to += n
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// copyOut passes on the rest of a message or line, as far as it is in buf.
func (s *splitter) copyOut(b []byte) int {
	rest := s.buf[s.from:s.to]
	if s.pass > 0 {
		n := copy(b, rest[:min(len(rest), s.pass)])
		s.pass -= n
		s.from += n
		return n
	}
	end := bytes.IndexByte(rest, '\n')
	if end >= 0 {
		rest = rest[:end+1]
	}
	n := copy(b, rest)
	s.inLine = end < 0 || n < len(rest)
	s.from += n
	return n
}

// message reads the line that announces a message and, if that is part of an
// answer, the message.
func (s *splitter) message() error {
	end := bytes.IndexByte(s.buf[s.from:s.to], '\n')
	for end < 0 {
		if s.to-s.from == len(s.buf) {
			return errors.New("the server's line before a message is too long")
		}
		if err := s.fill(); err != nil {
			return err
		}
		end = bytes.IndexByte(s.buf[s.from:s.to], '\n')
	}
	a, err := parseAnnouncement(s.buf[s.from : s.from+end])
	if err != nil {
		return err
	}
	token, isAnswer := bytes.CutPrefix(a.subject, s.answers.prefix)
	if !isAnswer {
		s.pass = end + 1 + a.size + len("\r\n")
		return nil
	}
	// The token lies in buf, which is not read into before the message is handed on.
	s.from += end + 1
	return s.answer(token, &a)
}

func (s *splitter) answer(token []byte, a *announcement) error {
	m := newAnswer(a.size + len("\r\n"))
	n := copy(m.data, s.buf[s.from:s.to])
	s.from += n
	if _, err := io.ReadFull(s.Conn, m.data[n:]); err != nil {
		return err
	}
	if !bytes.HasSuffix(m.data, []byte("\r\n")) {
		return errors.New("a message of the server does not end where it should")
	}
	header := m.data[:a.header]
	m.data = m.data[a.header:a.size]
	if len(header) > 0 {
		var err error
		if m.header, err = nats.DecodeHeadersMsg(header); err != nil {
			return fmt.Errorf("the header of an answer: %w", err)
		}
	}
	s.answers.route(token, m, a.size)
	return nil
}

// announcement is the line before a message. subject shares its memory.
type announcement struct {
	subject      []byte
	header, size int // bytes of the header, and of header and data
}

func parseAnnouncement(line []byte) (a announcement, err error) {
	var fields [6][]byte
	n := 0
	for f := range bytes.FieldsSeq(line) {
		if n == len(fields) {
			return a, fmt.Errorf("the server's line before a message is %q", line)
		}
		fields[n] = f
		n++
	}
	numbers := 1
	switch {
	case n > 0 && string(fields[0]) == "HMSG":
		numbers = 2
	case n == 0 || string(fields[0]) != "MSG":
		return a, fmt.Errorf("the server's line before a message is %q", line)
	}
	if without := 3 + numbers; n != without && n != without+1 {
		return a, fmt.Errorf("the server's line before a message is %q", line)
	}
	a.subject = fields[1]
	size, err := strconv.ParseUint(string(fields[n-1]), 10, 31)
	if err == nil && numbers == 2 {
		var header uint64
		header, err = strconv.ParseUint(string(fields[n-2]), 10, 31)
		a.header = int(header)
	}
	if a.size = int(size); err != nil || a.size > maxPayload || a.header > a.size {
		return a, fmt.Errorf("the server's line before a message is %q", line)
	}
	return a, nil
}
