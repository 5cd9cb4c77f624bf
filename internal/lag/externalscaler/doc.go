// Package externalscaler is generated from KEDA's protocol for scalers in other processes. KEDA's own package of it would bring
// the requirements of all of KEDA along.
package externalscaler

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative externalscaler.proto
