// Package bus carries messages between a main and its remotes: the embedded
// NATS server with its accounts and permissions, the JetStream streams and
// their names, the encoding of events, and the fetch protocol.
//
// It promises that an event appended is on disk when Append returns, that a
// remote reaches nothing but its own shares' events, objects and answers, and
// that every decoder here takes any bytes without panic or unbounded memory.
// It knows the types of package objects and nothing of folders: publisher and
// subscriber never import NATS themselves.
package bus
