// Package helper runs ofn-scalers, the program that asks trigger sources with KEDA's own scalers, for as long as somebody uses it.
// The program is taken as it is found, or built once from the source that is kept here with the Go of the machine. It is started
// again when it ends, and ends with this process.
//
// source.txtar is the source of the module scalers; the tests of this package write it anew with -update.
package helper
