// Package activator is hop 2 of a request: for each revision a bounded queue and the concurrency slots of its running
// copies. A request holds a slot only while it runs; the copy's address exists only inside the callback of Do, so that
// capacity cannot leak.
package activator
