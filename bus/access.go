package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/micro"
)

// The accounts; docs/design.md section 2 says who is in which. Each remote has
// one of its own, so that nothing it sends, and no subject to which it has an
// answer sent, is seen by another remote.
const (
	streamsAccount = "PUB"
	serviceAccount = "SERVICE"
	joinAccount    = "JOIN"
	systemAccount  = "SYS"
	remotePrefix   = "R_" // and the remote's name

	// replyPrefix begins the server's own subjects for answers to a message
	// that crossed from one account into another.
	replyPrefix = "_R_."

	// accountConnections is what the server lets a remote have; presence cuts
	// the oldest before that, so that dead ones do not keep a remote out.
	accountConnections = 2 * connectionsPerUser
	joinConnections    = 500
	// remotePayload is the largest message of a remote: a fetch request.
	remotePayload = maxRequestBytes + 64<<10
)

// access is who may connect, and what they may do.
type access struct {
	Shares      []string
	Remotes     []Remote
	Invitations []string // public keys of those that are not expired
	Invited     []string // names of remotes that have not joined yet
	Publisher   string   // public NKey, full rights over the streams
	Service     string   // public NKey, answers the remotes
	System      string   // public NKey, hears who connects
}

// crossing is a subject that crosses from the account which answers into that
// of a remote.
type crossing struct {
	account string // that answers
	subject string // there
	as      string // with the remote
	stream  bool   // several answers to one request
}

// crossings are those of a share for one remote; "*" stands for any.
func crossings(share, remote string) []crossing {
	next := ".CONSUMER.MSG.NEXT." + eventsStream(share) + "." + remote
	ack := "$JS.ACK." + eventsStream(share) + "." + remote + ".>"
	get := ".DIRECT.GET." + objectsStream(share)
	hello := helloPrefix + "." + share + "." + remote
	fetch := fetchPrefix + "." + share + "." + remote
	return []crossing{
		{streamsAccount, "$JS.API" + next, apiPrefix + next, true},
		{streamsAccount, ack, ack, false},
		{streamsAccount, "$JS.API" + get, apiPrefix + get, true},
		{serviceAccount, hello, hello, false},
		{serviceAccount, fetch, fetch, true},
	}
}

func reportCrossing(remote string) crossing {
	report := reportPrefix + "." + remote
	return crossing{serviceAccount, report, report, false}
}

func joinCrossing(key string) crossing {
	join := joinPrefix + "." + key
	return crossing{serviceAccount, join, join, false}
}

// config is the accounts as configuration text of the NATS server.
//
// Text, because exports and imports made by calls are lost at the next reload,
// and a reload is how a change reaches live connections. Every user is named
// here with its permissions: a user without account would land in the server's
// default one, a user without permissions may do everything, and a
// configuration without users lets anybody in; the main's own three are always
// there.
func (a *access) config() string {
	var b strings.Builder
	b.WriteString("accounts {\n")
	fmt.Fprintf(&b, "  %s {\n    jetstream: enabled\n    users: [ {nkey: %s} ]\n", streamsAccount, a.Publisher)
	a.writeExports(&b, streamsAccount)
	// Whatever is answered goes back through the crossing that the question
	// came by, and nowhere else.
	fmt.Fprintf(&b, "  %s {\n    users: [\n", serviceAccount)
	writeUser(&b, a.Service, []string{replyPrefix + ">"}, "ws.>", micro.APIPrefix+".>")
	b.WriteString("    ]\n")
	a.writeExports(&b, serviceAccount)
	for i := range a.Remotes {
		if r := &a.Remotes[i]; !r.Paused {
			a.writeRemote(&b, r)
		}
	}
	for _, name := range a.Invited {
		// An account that is there already spares the join a reload, see [Server.Apply].
		fmt.Fprintf(&b, "  %s {}\n", remotePrefix+name)
	}
	a.writeJoin(&b)
	fmt.Fprintf(&b, "  %s {\n    users: [ {nkey: %s, permissions: {publish: {deny: [\">\"]}, subscribe: {allow: [%s]}}} ]\n  }\n}\n",
		systemAccount, a.System, quoteAll([]string{connectEvents, disconnectEvents, refusedEvents}))
	fmt.Fprintf(&b, "system_account: %s\n", systemAccount)
	return b.String()
}

// writeExports ends an account with all that may cross from it. Any account may
// import, since every account is written here.
func (a *access) writeExports(b *strings.Builder, account string) {
	all := []crossing{reportCrossing("*"), joinCrossing("*")}
	for _, share := range a.Shares {
		all = append(all, crossings(share, "*")...)
	}
	b.WriteString("    exports: [\n")
	for _, x := range all {
		if x.account != account {
			continue
		}
		responses := ""
		if x.stream {
			responses = ", response_type: stream"
		}
		fmt.Fprintf(b, "      {service: %s%s}\n", strconv.Quote(x.subject), responses)
	}
	b.WriteString("    ]\n  }\n")
}

func (a *access) writeRemote(b *strings.Builder, r *Remote) {
	fmt.Fprintf(b, "  %s {\n    limits: {max_conn: %d, max_payload: %d}\n    imports: [\n", remotePrefix+r.Name, accountConnections, remotePayload)
	for _, x := range a.crossingsOf(r) {
		writeImport(b, x)
	}
	b.WriteString("    ]\n    users: [\n")
	writeUser(b, r.ID, a.mayPublish(r), r.inbox()+".>")
	b.WriteString("    ]\n  }\n")
}

func (a *access) writeJoin(b *strings.Builder) {
	fmt.Fprintf(b, "  %s {\n    limits: {max_conn: %d, max_payload: %d}\n    imports: [\n", joinAccount, joinConnections, maxJoinRequest)
	for _, key := range a.Invitations {
		writeImport(b, joinCrossing(key))
	}
	b.WriteString("    ]\n    users: [\n")
	for _, key := range a.Invitations {
		writeUser(b, key, []string{joinPrefix + "." + key}, joinInbox(key)+".>")
	}
	b.WriteString("    ]\n  }\n")
}

func writeImport(b *strings.Builder, x crossing) {
	fmt.Fprintf(b, "      {service: {account: %s, subject: %s}, to: %s}\n", x.account, strconv.Quote(x.subject), strconv.Quote(x.as))
}

func writeUser(b *strings.Builder, key string, publish []string, subscribe ...string) {
	fmt.Fprintf(b, "      {nkey: %s, permissions: {publish: {allow: [%s]}, subscribe: {allow: [%s]}}}\n",
		key, quoteAll(publish), quoteAll(subscribe))
}

func quoteAll(subjects []string) string {
	quoted := make([]string, len(subjects))
	for i, s := range subjects {
		quoted[i] = strconv.Quote(s)
	}
	return strings.Join(quoted, ", ")
}

// crossingsOf are those of a remote. A share of the remote that the main does
// not publish (any more) gives none.
func (a *access) crossingsOf(r *Remote) []crossing {
	all := []crossing{reportCrossing(r.Name)}
	for _, share := range r.Shares {
		if slices.Contains(a.Shares, share) {
			all = append(all, crossings(share, r.Name)...)
		}
	}
	return all
}

// mayPublish is all that a remote may send to. Its account has nothing else to
// reach, and this holds it to that a second time.
func (a *access) mayPublish(r *Remote) []string {
	var allow []string
	for _, x := range a.crossingsOf(r) {
		allow = append(allow, x.as)
	}
	return allow
}

// joinInbox is the inbox prefix of an invitation's user. Both sides derive it.
// It need not be secret: only who has the invitation's seed may listen there.
func joinInbox(key string) string {
	sum := sha256.Sum256([]byte("waptsync join inbox\n" + key))
	return inboxPrefix + "." + hex.EncodeToString(sum[:inboxTokenBytes])
}
