package bus

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"

	"waptsync/objects"
)

// The prefixes of subjects and streams; docs/design.md section 2 has the table.
const (
	apiPrefix       = "RJS" // JetStream's API as the remotes' account sees it
	remotesStream   = "REMOTES"
	inboxPrefix     = "_R"
	markerToken     = "marker"
	eventsPrefix    = "ev"
	objectsPrefix   = "ob"
	remotesPrefix   = "rm"
	helloPrefix     = "ws.hello"
	fetchPrefix     = "ws.fetch"
	reportPrefix    = "ws.report"
	joinPrefix      = "ws.join"
	pathHashBytes   = 16 // 128 bits: two of 10^6 paths collide with a chance of about 10^-27
	maxNameLength   = 63
	maxPathLength   = 4096
	maxElementBytes = 255
)

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// ValidName says whether s can name a share or a remote: a name is a subject
// token, a stream's and a consumer's name, and a folder.
func ValidName(s string) error {
	if len(s) > maxNameLength || !namePattern.MatchString(s) {
		return fmt.Errorf("name %q: want 1 to %d of a-z, 0-9 and -, not beginning with -", s, maxNameLength)
	}
	return nil
}

func eventsStream(share string) string  { return "EVENTS_" + share }
func objectsStream(share string) string { return "OBJECTS_" + share }

func eventSubject(share, path string) string {
	h := sha256.Sum256([]byte(path))
	return eventsPrefix + "." + share + "." + pathToken(h[:pathHashBytes])
}

// pathToken writes a hash with few different characters in front: the NATS
// server keeps its subjects in a tree that branches by character, and takes 100
// bytes a subject at any number with this, up to 127 with base64 throughout.
func pathToken(h []byte) string {
	return hex.EncodeToString(h[:3]) + base64.RawURLEncoding.EncodeToString(h[3:])
}

func markerSubject(share string) string { return eventsPrefix + "." + share + "." + markerToken }

func objectSubject(share string, id objects.ID) string {
	return objectsPrefix + "." + share + "." + base64.RawURLEncoding.EncodeToString(id[:])
}
