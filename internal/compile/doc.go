// Package compile makes programs of Go modules the first time that they are needed, with the Go of the machine, and keeps them:
// those that would cost every user hundreds of modules that few need. Whoever has such a program built already names it.
package compile
