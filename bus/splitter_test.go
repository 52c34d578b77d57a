package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
)

// chunked is a connection on which data comes in pieces of n bytes.
type chunked struct {
	net.Conn
	data []byte
	n    int
}

func (c *chunked) Read(b []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.data[:min(c.n, len(c.data))])
	c.data = c.data[n:]
	return n, nil
}

// split reads what comes in pieces of n bytes, through buffers of m, and
// returns what is for nats.go and the answers to the token.
func split(stream []byte, n, m int, token string) (rest []byte, answers []string, err error) {
	r := newReplyRouter("_R.x.bulk")
	ch := make(chan answer, maxReplyMessages)
	r.waiting[token] = ch
	c := r.wrap(&chunked{data: stream, n: n})
	b := make([]byte, m)
	for err == nil {
		var k int
		k, err = c.Read(b)
		rest = append(rest, b[:k]...)
	}
	close(ch)
	for a := range ch {
		answers = append(answers, a.header.Get("Status")+"|"+string(a.data))
		a.free()
	}
	return rest, answers, err
}

func TestTheSplitterTakesAnswersAndNothingElse(t *testing.T) {
	large := strings.Repeat("MSG _R.x.bulk.reply.t 1 3\r\nabc\r\n", 4000) // more than one buffer
	header := "NATS/1.0 404 No Messages\r\n\r\n"
	var stream, rest bytes.Buffer
	var want []string
	pass := func(s string) { stream.WriteString(s); rest.WriteString(s) }
	take := func(head, body, answer string) {
		stream.WriteString(head + "\r\n" + body + "\r\n")
		want = append(want, answer)
	}
	pass("INFO {\"server_id\":\"" + strings.Repeat("M", 3*controlLine) + "\"}\r\n")
	pass("PONG\r\n")
	take("MSG _R.x.bulk.reply.t 1 5", "hello", "|hello")
	take("MSG _R.x.bulk.reply.t 1 0", "", "|")
	pass("MSG _R.x.bulk.other 2 27\r\nMSG _R.x.bulk.reply.t 1 3\r\n\r\n")
	pass("HMSG _R.x.bulk.other 2 reply.to 12 16\r\nNATS/1.0\r\n\r\nbody\r\n")
	take("HMSG _R.x.bulk.reply.t 1 28 28", header, "404|")
	take("HMSG _R.x.bulk.reply.t 1 reply.to 28 30", header+"MS", "404|MS")
	pass("PING\r\n-ERR 'Permissions Violation'\r\n")
	take(fmt.Sprintf("MSG _R.x.bulk.reply.t 1 %d", len(large)), large, "|"+large)
	stream.WriteString("MSG _R.x.bulk.reply.nobody 1 2\r\nxx\r\n")
	pass("MSG _R.x.bulk.reply 2 0\r\n\r\n")
	pass("+OK\r\n")
	for _, n := range []int{1, 2, 7, 4095, 4096, 1 << 20} {
		for _, m := range []int{1, 5, 32 << 10} {
			got, answers, err := split(stream.Bytes(), n, m, "t")
			if !errors.Is(err, io.EOF) {
				t.Fatalf("pieces of %d, buffers of %d: %v", n, m, err)
			}
			if !bytes.Equal(got, rest.Bytes()) {
				t.Errorf("pieces of %d, buffers of %d: %d bytes are passed on, want %d", n, m, len(got), rest.Len())
			}
			if fmt.Sprint(answers) != fmt.Sprint(want) {
				t.Errorf("pieces of %d, buffers of %d: other answers", n, m)
			}
		}
	}
}

func TestTheSplitterRefusesWhatIsNoMessage(t *testing.T) {
	for name, stream := range map[string]string{
		"unknown operation": "MOO a 1 2\r\nxx\r\n",
		"too few fields":    "MSG a 2\r\nxx\r\n",
		"too many fields":   "MSG a b c d e f g\r\nxx\r\n",
		"no number":         "MSG a 1 x\r\nxx\r\n",
		"negative":          "MSG a 1 -2\r\nxx\r\n",
		"too large":         fmt.Sprintf("MSG a 1 %d\r\n", maxPayload+1),
		"header too large":  "HMSG a 1 3 2\r\nxx\r\n",
		"header unreadable": "HMSG _R.x.bulk.reply.t 1 2 2\r\nxx\r\n",
		"line too long":     "MSG " + strings.Repeat("a", controlLine) + " 1 2\r\nxx\r\n",
		"longer than said":  "MSG _R.x.bulk.reply.t 1 2\r\nxxx\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, answers, err := split([]byte(stream), 1000, 1000, "t"); err == nil || errors.Is(err, io.EOF) || len(answers) > 0 {
				t.Errorf("got %v, %v", answers, err)
			}
		})
	}
	if _, answers, err := split([]byte("MSG _R.x.bulk.reply.t 1 20\r\nxx"), 3, 9, "t"); err == nil || len(answers) > 0 {
		t.Errorf("cut off: %v, %v", answers, err)
	}
}

// cut says that the connection ended, at whatever place.
func cut(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// FuzzSplitter makes sure that it does not matter in which pieces the bytes come.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte("INFO {}\r\nMSG _R.x.bulk.reply.t 1 2\r\nxx\r\nPING\r\n"), 3)
	f.Add([]byte("HMSG _R.x.bulk.reply.t 1 28 30\r\nNATS/1.0 404 No Messages\r\n\r\nxx\r\n"), 1)
	f.Add([]byte("MSG a 1 b 5\r\nMSG a\r\n+OK\r\nMSG"), 2)
	f.Fuzz(func(t *testing.T, stream []byte, n int) {
		n = max(1, n%5000)
		rest, answers, err := split(stream, n, n, "t")
		rest2, answers2, err2 := split(stream, 1<<20, 1<<20, "t")
		if !bytes.Equal(rest, rest2) || fmt.Sprint(answers) != fmt.Sprint(answers2) || cut(err) != cut(err2) {
			t.Errorf("in pieces of %d: %q, %q, %v\nat once: %q, %q, %v", n, rest, answers, err, rest2, answers2, err2)
		}
	})
}
