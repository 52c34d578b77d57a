package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Joins a second that the main answers; each needs a valid invitation anyway,
// and writes the registry once.
const (
	joinRate  = 5
	joinBurst = 20

	maxJoinRequest = 4 << 10
)

// joinRequest is what a joining remote says.
type joinRequest struct {
	ID   string `json:"id"`   // its public NKey
	Host string `json:"host"` // for the log only
	// Signature of joinStatement by the remote's key: an ID is public, and only
	// who has its seed may have it enrolled.
	Signature []byte `json:"signature"`
}

// joinAnswer has one of the two.
type joinAnswer struct {
	Membership *Membership `json:"membership,omitempty"`
	Error      string      `json:"error,omitempty"`
}

func joinStatement(key, id string) []byte {
	return []byte("waptsync join 1\n" + key + "\n" + id + "\n")
}

// serveJoin answers ws.join.<key>, to which only the user of that invitation
// may publish. By the time the answer leaves, the remote may connect.
func (s *Server) serveJoin(msg *nats.Msg) {
	key := strings.TrimPrefix(msg.Subject, joinPrefix+".")
	log := s.log.With().Str("invitation", key).Str("address", s.addressOf(key)).Logger()
	if !crossed(msg.Reply) {
		s.joinsRefused.Add(1)
		if s.doorstep.say.Allow() {
			log.Warn().Msg("join that cannot be answered")
		}
		return
	}
	var answer joinAnswer
	m, host, err := s.enrol(key, msg.Data)
	if err != nil {
		s.joinsRefused.Add(1)
		if s.doorstep.say.Allow() {
			log.Warn().Err(err).Int64("so_far", s.joinsRefused.Load()).Msg("join refused")
		}
		answer.Error = err.Error()
	} else {
		log.Info().Str("remote", m.Name).Str("id", m.ID).Str("host", host).Strs("shares", m.Shares).Msg("remote joined")
		answer.Membership = &Membership{Name: m.Name, Inbox: m.Inbox, Shares: m.Shares}
	}
	b, err := json.Marshal(&answer)
	if err == nil {
		err = msg.Respond(b)
	}
	if err != nil {
		log.Warn().Err(err).Msg("the answer to a join is lost; the remote may ask again")
	}
}

func (s *Server) enrol(key string, request []byte) (m Remote, host string, err error) {
	if !s.joins.Allow() {
		return m, "", errors.New("too many remotes join at this moment: try again in a minute")
	}
	if len(request) > maxJoinRequest {
		return m, "", fmt.Errorf("request of %d bytes: want at most %d", len(request), maxJoinRequest)
	}
	var q joinRequest
	if err := json.Unmarshal(request, &q); err != nil {
		return m, "", fmt.Errorf("the request cannot be read: %w", err)
	}
	if err := validID(q.ID); err != nil {
		return m, "", err
	}
	pub, err := nkeys.FromPublicKey(q.ID)
	if err != nil {
		return m, "", err
	}
	if err := pub.Verify(joinStatement(key, q.ID), q.Signature); err != nil {
		return m, "", fmt.Errorf("the remote does not prove that the ID %s is its own", q.ID)
	}
	if m, err = s.registry.redeem(key, q.ID); err != nil {
		return m, "", err
	}
	return m, q.Host, s.Apply()
}
