// Package calls keeps calls of functions that nobody waits for: a call is on disk before its id is told, is tried until it
// succeeded or its policy ends, and its result can be asked for until its retention ends.
//
//	Accept ── journal ── lanes ── attempt ── journal ── notify
//	          fsync      one per   the        state and  on-success,
//	                     function  gateway    result     on-failure
//
// The truth is two JetStream streams: one holds the requests, one the newest record of each call with its result. What is in
// memory is an index of them, read again at every start. Each change of state is one message, so that a crash between any two
// steps leaves the state before or the one after. A call that was running when the platform died is run again: its function
// is called at least once, not exactly once. One process owns the streams.
package calls
