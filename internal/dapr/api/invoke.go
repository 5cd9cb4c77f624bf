package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"

	"github.com/dapr/dapr/pkg/messages"
	"github.com/dapr/dapr/pkg/messages/errorcodes"
	commonv1 "github.com/dapr/dapr/pkg/proto/common/v1"
	runtimev1 "github.com/dapr/dapr/pkg/proto/runtime/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/openfunction/ofn/internal/event"
)

// target is the function of the caller's namespace that an app id stands for: ID, or ID.NAMESPACE.
func (c *caller) target(id string) (event.Name, error) {
	refuse := func(httpCode int, grpcCode codes.Code, why string) error {
		return newFault(errorcodes.ServiceInvocationDirectInvoke, httpCode, grpcCode, "failed to invoke, id: %s, err: %s", id, why)
	}
	if c.o.Invoker == nil {
		return event.Name{}, refuse(http.StatusInternalServerError, codes.Unavailable, "this platform offers no service invocation")
	}
	name, ns, qualified := strings.Cut(id, ".")
	if qualified && ns != c.app.Namespace {
		return event.Name{}, refuse(http.StatusForbidden, codes.PermissionDenied, "functions of other namespaces cannot be invoked")
	}
	if name == "" || strings.ContainsAny(name, "/:@?#[]%\\ \t\r\n") {
		return event.Name{}, refuse(http.StatusBadRequest, codes.InvalidArgument, "it is no name of a function")
	}
	return c.o.Runtime.Find(c.app.Namespace, name), nil
}

func (c *caller) host(n event.Name) string {
	return n.Name + "." + n.Namespace + ".svc." + c.o.ClusterDomain
}

// findTarget reads app id and method of a request: the header dapr-app-id, the user of basic authorisation, or the path
// invoke/ID/method/METHOD. method is escaped, without its first slash.
func (q *request) findTarget() (id, method string) {
	whole := strings.TrimPrefix(q.r.URL.EscapedPath(), "/")
	if id := q.r.Header.Get("dapr-app-id"); id != "" {
		return id, whole
	}
	if user, password, ok := q.r.BasicAuth(); ok && strings.EqualFold(user, "dapr-app-id") {
		q.r.Header.Del("Authorization")
		return password, whole
	}
	if q.block != "invoke" {
		return "", ""
	}
	id, method, ok := strings.Cut(q.raw, "/method/")
	if !ok {
		if id, ok = strings.CutSuffix(q.raw, "/method"); !ok {
			return "", ""
		}
	}
	return unescape(id), method
}

// invoke passes the request on to another function, as a stream in both directions.
func (q *request) invoke() error {
	id, method := q.findTarget()
	if id == "" {
		return messages.ErrDirectInvokeNoAppID
	}
	to, err := q.target(id)
	if err != nil {
		return err
	}
	u, err := q.methodURL(to, method)
	if err != nil {
		return err
	}
	u.RawQuery = q.r.URL.RawQuery
	proxy := &httputil.ReverseProxy{
		Transport: q.o.Invoker,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL, p.Out.Host = u, u.Host
			for _, h := range []string{"dapr-app-id", "dapr-api-token"} {
				p.Out.Header.Del(h)
			}
			p.Out.Header.Set("dapr-caller-app-id", q.id)
			p.Out.Header.Set("dapr-caller-namespace", q.app.Namespace)
			p.Out.Header.Set("dapr-callee-app-id", id)
		},
		FlushInterval: -1,
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			q.fail(messages.ErrDirectInvoke.WithFormat(id, err))
		},
		ErrorLog: q.http.ErrorLog,
	}
	proxy.ServeHTTP(q.w, q.r)
	return nil
}

// methodURL is where a method of a function is. Dots and double slashes are resolved, as daprd does.
func (c *caller) methodURL(to event.Name, escaped string) (*url.URL, error) {
	slash := strings.HasSuffix(escaped, "/")
	clean := path.Clean("/" + escaped)
	if slash && clean != "/" {
		clean += "/"
	}
	decoded, err := url.PathUnescape(clean)
	if err != nil {
		return nil, messages.ErrBadRequest.WithFormat(err)
	}
	return &url.URL{Scheme: "http", Host: c.host(to), Path: decoded, RawPath: clean}, nil
}

// InvokeService calls a method of another function, over HTTP whatever that function speaks.
func (s *service) InvokeService(ctx context.Context, in *runtimev1.InvokeServiceRequest) (*commonv1.InvokeResponse, error) {
	c := callerOf(ctx)
	msg := in.GetMessage()
	if msg == nil {
		return nil, status.Error(codes.InvalidArgument, "failed parsing InternalInvokeRequest: message is nil")
	}
	to, err := c.target(in.GetId())
	if err != nil {
		return nil, err
	}
	req, err := c.invocation(ctx, to, in.GetId(), msg)
	if err != nil {
		return nil, err
	}
	resp, err := c.o.Invoker.RoundTrip(req)
	if err != nil {
		return nil, messages.ErrDirectInvoke.WithFormat(in.GetId(), err)
	}
	defer resp.Body.Close()
	return s.result(ctx, in.GetId(), resp)
}

func (c *caller) invocation(ctx context.Context, to event.Name, id string, msg *commonv1.InvokeRequest) (*http.Request, error) {
	method, query, _ := strings.Cut(msg.GetMethod(), "?")
	if q := msg.GetHttpExtension().GetQuerystring(); q != "" {
		query = q
	}
	u, err := c.methodURL(to, strings.TrimPrefix((&url.URL{Path: "/" + method}).EscapedPath(), "/"))
	if err != nil {
		return nil, err
	}
	u.RawQuery = query
	verb := http.MethodPost
	if v := msg.GetHttpExtension().GetVerb(); v != commonv1.HTTPExtension_NONE {
		verb = v.String()
	}
	req, err := http.NewRequestWithContext(ctx, verb, u.String(), bytes.NewReader(msg.GetData().GetValue()))
	if err != nil {
		return nil, messages.ErrBadRequest.WithFormat(err)
	}
	copyMetadata(ctx, req.Header)
	if t := msg.GetContentType(); t != "" {
		req.Header.Set("Content-Type", t)
	} else if len(msg.GetData().GetValue()) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("dapr-caller-app-id", c.id)
	req.Header.Set("dapr-caller-namespace", c.app.Namespace)
	req.Header.Set("dapr-callee-app-id", id)
	return req, nil
}

// copyMetadata makes header fields of the metadata of a gRPC request.
func copyMetadata(ctx context.Context, h http.Header) {
	md, _ := grpcmetadata.FromIncomingContext(ctx)
	for k, values := range md {
		if strings.HasPrefix(k, ":") || strings.HasPrefix(k, "grpc-") || strings.HasSuffix(k, "-bin") || notCopied[k] {
			continue
		}
		for _, v := range values {
			h.Add(k, v)
		}
	}
}

var notCopied = map[string]bool{
	"content-type": true, "content-length": true, "user-agent": true, "te": true, "dapr-app-id": true, "dapr-api-token": true,
	"connection": true, "transfer-encoding": true, "upgrade": true, "host": true,
}

// result is what a gRPC client gets for an HTTP answer: a status for what is no 2xx.
func (s *service) result(ctx context.Context, id string, resp *http.Response) (*commonv1.InvokeResponse, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(s.s.o.MaxBody)+1))
	if err != nil {
		return nil, messages.ErrDirectInvoke.WithFormat(id, err)
	}
	if len(body) > s.s.o.MaxBody {
		return nil, status.Errorf(codes.ResourceExhausted, "the answer of %s is larger than %d bytes: invoke it over HTTP", id, s.s.o.MaxBody)
	}
	md := grpcmetadata.Pairs("dapr-http-status", fmt.Sprint(resp.StatusCode))
	for k, v := range resp.Header {
		key := strings.ToLower(k)
		if key != "content-length" && key != "connection" && key != "content-type" {
			md.Append(key, v...)
		}
	}
	_ = grpc.SetHeader(ctx, md)
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return &commonv1.InvokeResponse{Data: &anypb.Any{Value: body}, ContentType: resp.Header.Get("Content-Type")}, nil
	}
	const most = 1 << 10
	return nil, status.Error(codeOf(resp.StatusCode), strings.ToValidUTF8(string(body[:min(len(body), most)]), "?"))
}

// codeOf is the gRPC code of an HTTP status, by the rules of google.rpc.Code.
func codeOf(http int) codes.Code {
	switch http {
	case 400:
		return codes.InvalidArgument
	case 401:
		return codes.Unauthenticated
	case 403:
		return codes.PermissionDenied
	case 404:
		return codes.NotFound
	case 409:
		return codes.AlreadyExists
	case 412:
		return codes.FailedPrecondition
	case 416:
		return codes.OutOfRange
	case 429:
		return codes.ResourceExhausted
	case 499:
		return codes.Canceled
	case 501:
		return codes.Unimplemented
	case 503:
		return codes.Unavailable
	case 504:
		return codes.DeadlineExceeded
	}
	if http >= 500 {
		return codes.Internal
	}
	return codes.Unknown
}

var errNoTrailer = errors.New("the function's answer has no gRPC status: does it speak gRPC on its port?")
