package bus

import (
	"errors"
	"regexp"
)

// inboxToken is the secret part of a subject that a remote is answered at.
var inboxToken = regexp.MustCompile(regexp.QuoteMeta(inboxPrefix) + `\.[0-9a-f]{32}`)

// redact takes inbox tokens out of a text that is logged: who knows another
// remote's could have the server post messages there.
func redact(s string) string { return inboxToken.ReplaceAllString(s, inboxPrefix+".…") }

// redacted is err with its text redacted; it wraps nothing.
func redacted(err error) error { return errors.New(redact(err.Error())) }
