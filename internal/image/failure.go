package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Reason is why an image could not be had, in the CamelCase of status reasons.
type Reason string

// The reasons of a Failure.
const (
	InvalidReference     Reason = "InvalidImageName"
	NotFound             Reason = "ImageNotFound"
	Unauthorized         Reason = "ImagePullUnauthorized"
	Unreachable          Reason = "RegistryUnreachable"
	ArchitectureMismatch Reason = "ArchitectureMismatch"
	InvalidImage         Reason = "InvalidImage"
	DiskFull             Reason = "DiskFull"
	PullFailed           Reason = "ImagePullFailed"
)

// Failure is an error about an image that its user can do something about; Message is for people.
type Failure struct {
	Reason  Reason
	Ref     string
	Message string
	Err     error // cause; may be nil
}

// Error is the message.
func (f *Failure) Error() string { return f.Message }

// Unwrap is the cause.
func (f *Failure) Unwrap() error { return f.Err }

// explain turns an error of talking to a registry into a Failure. doing is "pulling" or "pushing".
func explain(doing string, r Ref, c Credentials, err error) error {
	var f *Failure
	if err == nil || errors.As(err, &f) || errors.Is(err, context.Canceled) {
		return err
	}
	f = &Failure{Ref: r.String(), Err: err}
	prefix := doing + " " + f.Ref
	var status *transport.Error
	var netErr net.Error
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), statusOf(err) == http.StatusInsufficientStorage:
		f.Reason, f.Message = DiskFull, prefix+": no space left on the disk; free some and try again"
	case statusOf(err) == http.StatusUnauthorized, statusOf(err) == http.StatusForbidden:
		f.Reason, f.Message = Unauthorized, prefix+": "+c.refused(r.Host)
	case statusOf(err) == http.StatusNotFound:
		f.Reason, f.Message = NotFound, prefix+": "+r.Host+" has no such image; check its name and tag"
	case errors.As(err, &status):
		f.Reason, f.Message = PullFailed, fmt.Sprintf("%s: %s answered %s", prefix, r.Host, status)
	case errors.As(err, &netErr), errors.Is(err, errPlainHTTP):
		f.Reason, f.Message = Unreachable, fmt.Sprintf("%s: cannot reach %s: %v", prefix, r.Host, err)
	default:
		f.Reason, f.Message = PullFailed, fmt.Sprintf("%s: %v", prefix, err)
	}
	return f
}

func statusOf(err error) int {
	var e *transport.Error
	if errors.As(err, &e) {
		return e.StatusCode
	}
	return 0
}
