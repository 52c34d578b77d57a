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

// The accounts; docs/design.md section 2 says who is in which.
const (
	streamsAccount = "PUB"
	remotesAccount = "REMOTES"
	systemAccount  = "SYS"
)

// access is who may connect, and what they may do.
type access struct {
	Shares      []string
	Remotes     []Remote
	Invitations []string // public keys of those that are not expired
	Publisher   string   // public NKey, full rights over the streams
	Service     string   // public NKey, answers the remotes
	System      string   // public NKey, hears who connects
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
	a.writeStreamsAccount(&b)
	a.writeRemotesAccount(&b)
	fmt.Fprintf(&b, "  %s {\n    users: [ {nkey: %s, permissions: {publish: {deny: [\">\"]}, subscribe: {allow: [%s]}}} ]\n  }\n}\n",
		systemAccount, a.System, quoteAll([]string{presenceEvents + "*", refusedEvents}))
	fmt.Fprintf(&b, "system_account: %s\n", systemAccount)
	return b.String()
}

func (a *access) writeStreamsAccount(b *strings.Builder) {
	fmt.Fprintf(b, "  %s {\n    jetstream: enabled\n", streamsAccount)
	fmt.Fprintf(b, "    users: [ {nkey: %s} ]\n    exports: [\n", a.Publisher)
	for _, x := range a.crossings() {
		responses := ""
		if x.stream {
			responses = ", response_type: stream"
		}
		fmt.Fprintf(b, "      {service: %s%s, accounts: [%s]}\n", strconv.Quote(x.subject), responses, remotesAccount)
	}
	b.WriteString("    ]\n  }\n")
}

func (a *access) writeRemotesAccount(b *strings.Builder) {
	fmt.Fprintf(b, "  %s {\n    limits: {max_conn: %d}\n    imports: [\n", remotesAccount, maxRemoteConnections)
	for _, x := range a.crossings() {
		fmt.Fprintf(b, "      {service: {account: %s, subject: %s}, to: %s}\n",
			streamsAccount, strconv.Quote(x.subject), strconv.Quote(x.as))
	}
	b.WriteString("    ]\n    users: [\n")
	writeUser(b, a.Service, []string{inboxPrefix + ".>"}, "ws.>", micro.APIPrefix+".>")
	for i := range a.Remotes {
		r := &a.Remotes[i]
		if r.Paused {
			continue
		}
		writeUser(b, r.ID, a.mayPublish(r), r.inbox()+".>")
	}
	for _, key := range a.Invitations {
		writeUser(b, key, []string{joinPrefix + "." + key}, joinInbox(key)+".>")
	}
	b.WriteString("    ]\n  }\n")
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

// crossing is a JetStream subject that crosses from the account of the streams
// into that of the remotes.
type crossing struct {
	subject string // with the streams
	as      string // with the remotes
	stream  bool   // several answers to one request
}

func (a *access) crossings() []crossing {
	var all []crossing
	for _, share := range a.Shares {
		next := ".CONSUMER.MSG.NEXT." + eventsStream(share) + ".*"
		get := ".DIRECT.GET." + objectsStream(share)
		ack := "$JS.ACK." + eventsStream(share) + ".>"
		all = append(all,
			crossing{subject: "$JS.API" + next, as: apiPrefix + next, stream: true},
			crossing{subject: "$JS.API" + get, as: apiPrefix + get, stream: true},
			crossing{subject: ack, as: ack},
		)
	}
	return all
}

// mayPublish is all that a remote may send to. A share of the remote that the
// main does not publish (any more) gives no right.
func (a *access) mayPublish(r *Remote) []string {
	allow := []string{reportPrefix + "." + r.Name}
	for _, share := range r.Shares {
		if !slices.Contains(a.Shares, share) {
			continue
		}
		allow = append(allow,
			apiPrefix+".CONSUMER.MSG.NEXT."+eventsStream(share)+"."+r.Name,
			"$JS.ACK."+eventsStream(share)+"."+r.Name+".>",
			apiPrefix+".DIRECT.GET."+objectsStream(share),
			helloPrefix+"."+share+"."+r.Name,
			fetchPrefix+"."+share+"."+r.Name,
		)
	}
	return allow
}

// joinInbox is the inbox prefix of an invitation's user. Both sides derive it.
// It need not be secret: only who has the invitation's seed may listen there.
func joinInbox(key string) string {
	sum := sha256.Sum256([]byte("waptsync join inbox\n" + key))
	return inboxPrefix + "." + hex.EncodeToString(sum[:inboxTokenBytes])
}
