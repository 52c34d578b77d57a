// Package console is how people and monitoring look at a main or a remote: the
// page and its acts, the metrics and the health checks, over HTTP.
//
// It knows nothing of the bus or of folders. Whoever runs it hands it a [Main]
// or a [Replica], and types of this package carry what they say. See
// docs/console.md for what it defends against.
package console
