// Package gateway is hop 1 of a request: it accepts connections, finds the revision for host and path in an immutable
// table, takes a slot of it (package activator) and forwards the request to the copy.
//
// HTTP/1.1 to HTTP/1.1, which is nearly everything, is done here by hand, with one goroutine per connection: conn.go
// reads requests, head.go and body.go parse what comes from outside, exchange.go talks to the copy. HTTP/2, and HTTP/1.1
// for a copy that wants HTTP/2, is received by net/http: h2.go hands the connection over, call.go routes with the same table,
// and callhttp1.go or callhttp2.go talks to the copy, the first of them over the connections that exchange.go uses too.
package gateway
