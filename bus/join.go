package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const (
	membershipFile = "membership.json"

	joinTimeout = 20 * time.Second // of one try, without the handshake
	joinTries   = 3
	dialTimeout = 20 * time.Second // of connecting, to the end of TLS and NATS handshakes
)

// Membership is what a remote knows after it joined a main.
type Membership struct {
	Name    string `json:"name"`
	Address string `json:"address"` // host:port
	// Server is the name that the main's certificate has; empty is the one that
	// all mains with a CA of their own have.
	Server string `json:"server,omitempty"`
	// CA is what the remote trusts, PEM; empty, with a Server only, is what the
	// system trusts.
	CA     string   `json:"ca,omitempty"`
	Inbox  string   `json:"inbox"` // token of the inbox prefix, see Remote.Inbox
	Shares []string `json:"shares"`
}

func (m *Membership) validate() error {
	var ca error
	if m.CA == "" && m.Server == "" {
		ca = errors.New("neither a CA nor a server's name is given")
	}
	return errors.Join(ValidName(m.Name), validAddress(m.Address), validToken(m.Inbox), validShares(m.Shares), ca)
}

// errAnswerLost is returned when the connection broke or nothing came after the
// request was sent: the main may have enrolled the remote.
var errAnswerLost = errors.New("no answer came")

// Join uses an invitation's line once and returns the membership it gave. It
// tries again where the answer was lost on the way, for the main gives the same
// remote the same answer for some minutes. A server that is not the main that
// made the invitation gives *WrongMainError.
func Join(ctx context.Context, line string, id *Identity) (*Membership, error) {
	l, err := decodeInvitation(line)
	if err != nil {
		return nil, fmt.Errorf("joining: %w", err)
	}
	for try := 1; ; try++ {
		m, err := joinOnce(ctx, l, id)
		if err == nil {
			return m, nil
		}
		if try == joinTries || !errors.Is(err, errAnswerLost) || ctx.Err() != nil {
			return nil, fmt.Errorf("joining %s as %s: %w", l.Address, l.Name, err)
		}
	}
}

func joinOnce(ctx context.Context, l *invitationLine, id *Identity) (*Membership, error) {
	key, err := l.key()
	if err != nil {
		return nil, err
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, err
	}
	request, err := newJoinRequest(public, id)
	if err != nil {
		return nil, err
	}
	nc, ca, err := dialJoin(ctx, l, key, public)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, joinPrefix+"."+public, request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswerLost, err)
	}
	var answer joinAnswer
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if answer.Membership == nil {
		return nil, fmt.Errorf("the main refuses: %s", answer.Error)
	}
	m := answer.Membership
	m.Address, m.CA = l.Address, ""
	if ca != nil {
		m.CA = string(encodeCertificate(ca))
	}
	if l.Trust.kind != trustOwn {
		m.Server = l.Trust.serverName(l.Address)
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return m, nil
}

func newJoinRequest(invitationKey string, id *Identity) ([]byte, error) {
	sig, err := id.sign(joinStatement(invitationKey, id.ID()))
	if err != nil {
		return nil, fmt.Errorf("signing the request: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // the main only logs it
	}
	return json.Marshal(&joinRequest{ID: id.ID(), Host: host, Signature: sig})
}

// dialJoin connects as the invitation's user, and returns the CA's certificate
// (DER) that the main showed, if it is to be pinned.
func dialJoin(ctx context.Context, l *invitationLine, key nkeys.KeyPair, public string) (*nats.Conn, []byte, error) {
	tlsConfig, found := l.joinTLS(time.Now)
	nc, err := dial("tls://"+l.Address,
		nats.Nkey(public, key.Sign),
		nats.Secure(tlsConfig),
		nats.TLSHandshakeFirst(),
		nats.CustomInboxPrefix(joinInbox(public)),
		nats.Name("waptsync join"),
		nats.SetCustomDialer(contextDialer{ctx}),
		nats.Timeout(dialTimeout),
		nats.NoReconnect(),
		nats.IgnoreDiscoveredServers())
	switch {
	case err == nil:
		return nc, found(), nil
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case errors.Is(err, nats.ErrAuthorization):
		return nil, nil, errNoInvitation
	}
	return nil, nil, explainTLS(err)
}

// contextDialer makes a connection that ends with its context, which
// nats.Connect does not know.
type contextDialer struct{ ctx context.Context }

func (d contextDialer) Dial(network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	c, err := dialer.DialContext(d.ctx, network, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(d.ctx, func() { c.Close() })
	return &contextConn{Conn: c, stop: stop}, nil
}

type contextConn struct {
	net.Conn
	stop func() bool
}

func (c *contextConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// SaveMembership writes m to dir (mode 0600, synced).
func SaveMembership(dir string, m *Membership) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = makePrivateDir(dir)
	}
	if err == nil {
		err = WriteDurably(filepath.Join(dir, membershipFile), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("saving the membership: %w", err)
	}
	return nil
}

// LoadMembership reads what SaveMembership wrote; fs.ErrNotExist before the first join.
func LoadMembership(dir string) (*Membership, error) {
	path := filepath.Join(dir, membershipFile)
	b, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("membership: %w", err)
	}
	m := new(Membership)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("membership: %s: %w", path, err)
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("membership: %s: %w", path, err)
	}
	return m, nil
}
