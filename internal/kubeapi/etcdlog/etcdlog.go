// Package etcdlog keeps the etcd client inside the Kubernetes API server from writing to the standard error.
//
// That client gets its logger, which writes JSON lines there, while Kubernetes' packages are initialized, and nothing can
// reach it afterwards. It warns of every attempt that fails, of requests among them that their client has given up; each is
// also the error of its request, which the API server tells and logs like any other, so nothing is lost.
package etcdlog

import "go.etcd.io/etcd/client/pkg/v3/logutil"

// Silenced tells that the client's loggers made from now on write nowhere.
//
// It is set in time because Go initializes packages by their import paths as soon as what they import is: this one, which
// imports nothing of Kubernetes, comes before k8s.io/apiserver.
var Silenced = silence() //nolint:gochecknoglobals // what has to be changed is a variable, and must be before any function is called

func silence() bool {
	logutil.DefaultZapLoggerConfig.OutputPaths = nil
	return true
}
