// Package trigger decides which events of a bus a subscriber gets, and as what: conditions (CEL), filters (CloudEvents SQL),
// inputs that stay true for a while, correlation of several events, and transformation. It does no I/O and asks no clock: times
// come with the events. run, below it, is the loop that consumes and delivers.
package trigger
