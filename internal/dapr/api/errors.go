package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/dapr/components-contrib/state"
	apierrors "github.com/dapr/dapr/pkg/api/errors"
	"github.com/dapr/dapr/pkg/messages"
	"github.com/dapr/dapr/pkg/messages/errorcodes"
	kiterrors "github.com/dapr/kit/errors"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// fault is an error of the API, with Dapr's code of it.
type fault struct {
	code    errorcodes.ErrorCode
	http    int
	grpc    codes.Code
	message string
}

func (f *fault) Error() string { return f.message }

// GRPCStatus is what a gRPC client sees.
func (f *fault) GRPCStatus() *status.Status {
	var rich *kiterrors.Error
	if errors.As(apierrors.Basic(f.grpc, f.http, f.code, f.message), &rich) {
		return rich.GRPCStatus()
	}
	return status.New(f.grpc, f.message)
}

func newFault(code errorcodes.ErrorCode, httpCode int, grpcCode codes.Code, format string, args ...any) *fault {
	return &fault{code, httpCode, grpcCode, fmt.Sprintf(format, args...)}
}

// notOffered says what to do about APIs that only a real daprd has.
func notOffered(what string) *fault {
	return newFault(errorcodes.CommonAPIUnimplemented, http.StatusNotImplemented, codes.Unimplemented,
		"%s is not offered by the Dapr runtime of this platform: it needs a daprd beside the function, which the annotation openfunction.io/dapr-service-mode: sidecar asks for", what)
}

// answer is the HTTP status, code and body of an error. Unknown errors are internal.
func answer(err error) (code int, body []byte) {
	var f *fault
	if errors.As(err, &f) {
		body, _ := json.Marshal(map[string]string{"errorCode": f.code.Code, "message": f.message})
		return f.http, body
	}
	if rich, ok := kiterrors.FromError(err); ok {
		return rich.HTTPStatusCode(), rich.JSONErrorValue()
	}
	var plain messages.APIError
	if errors.As(err, &plain) {
		return plain.HTTPCode(), plain.JSONErrorValue()
	}
	body, _ = json.Marshal(map[string]string{"errorCode": "ERROR", "message": err.Error()})
	return http.StatusInternalServerError, body
}

// grpcError is what a gRPC client gets for an error.
func grpcError(err error) error {
	if err == nil {
		return nil
	}
	var f *fault
	if errors.As(err, &f) {
		return f.GRPCStatus().Err()
	}
	if rich, ok := kiterrors.FromError(err); ok {
		return rich.GRPCStatus().Err()
	}
	var plain messages.APIError
	if errors.As(err, &plain) {
		return plain.GRPCStatus().Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}

// stateFault is the fault of a failed write of state: etags have codes of their own.
func stateFault(code errorcodes.ErrorCode, err error, format string, args ...any) error {
	if rich, ok := kiterrors.FromError(err); ok {
		return rich
	}
	f := newFault(code, http.StatusInternalServerError, codes.Internal, format, args...)
	var etag *state.ETagError
	if errors.As(err, &etag) {
		switch etag.Kind() {
		case state.ETagMismatch:
			f.http, f.grpc = http.StatusConflict, codes.Aborted
		case state.ETagInvalid:
			f.http, f.grpc = http.StatusBadRequest, codes.InvalidArgument
		}
	}
	return f
}

// badRequest is for bodies that cannot be read.
func badRequest(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return newFault(errorcodes.CommonBodyRead, http.StatusRequestEntityTooLarge, codes.ResourceExhausted, "the request body is larger than %d bytes", tooLarge.Limit)
	}
	return messages.ErrMalformedRequest.WithFormat(err)
}

// blockOf is the building block of a gRPC method, for people.
func blockOf(method string) string {
	name := method[strings.LastIndexByte(method, '/')+1:]
	for part, block := range map[string]string{
		"Actor": "the actors API", "Workflow": "the workflow API", "Job": "the jobs API", "Lock": "the distributed lock API",
		"Encrypt": "the cryptography API", "Decrypt": "the cryptography API", "Subtle": "the cryptography API",
		"Converse": "the conversation API",
	} {
		if strings.Contains(name, part) {
			return block
		}
	}
	return "the method " + name
}
