// Package jetstream is the bus over NATS JetStream: Embedded, a server in this process that keeps its events on disk and
// listens nowhere, and External, one that somebody else runs. Both give a connection; New makes a bus over either.
package jetstream
