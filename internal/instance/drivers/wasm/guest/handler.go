package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero/api"
)

// maxHead bounds the head of a response, in bytes.
const maxHead = 64 << 10

// Exchange is one request that a handler handles.
type Exchange struct {
	Request *http.Request
	Writer  http.ResponseWriter
	// Answered is set when the response has begun.
	Answered bool

	head   []byte // of the request, as the handler reads it
	failed error  // why the response cannot go on
	web    webState
}

// HandlerError is a failure after which the instance can be used again: the handler's own word, or what is wrong with its response.
type HandlerError struct {
	Code int32
	Err  error // what is wrong with the response; may be nil
}

func (e *HandlerError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("the handler failed with code %d", e.Code)
}

// Unwrap gives what is wrong with the response.
func (e *HandlerError) Unwrap() error { return e.Err }

// Handle has one request handled. After an error other than *HandlerError the instance must not be used again.
func (i *Instance) Handle(ctx context.Context, x *Exchange) error {
	i.exchange = x
	defer func() { i.exchange = nil }()
	if i.maker.program.httpWasm {
		return i.handleHTTPWasm(ctx, x)
	}
	results, err := i.run(ctx, i.handle)
	if err != nil {
		return i.failure(ctx, err)
	}
	var code int32
	if len(results) > 0 {
		code = int32(results[0])
	}
	return x.finish(code)
}

// failure explains an error of a call, with the context's cause when that ended it.
func (i *Instance) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), i.explain(err))
	}
	if err = i.explain(err); err == nil {
		err = &ExitError{} // an instance that has exited cannot be called again
	}
	return err
}

// finish begins an empty response when the handler has not, unless it failed.
func (x *Exchange) finish(code int32) error {
	if code != 0 || x.failed != nil {
		return &HandlerError{code, x.failed}
	}
	if !x.Answered {
		x.begin(http.StatusOK)
	}
	return nil
}

func (x *Exchange) begin(code int) {
	x.Answered = true
	x.Writer.WriteHeader(code)
}

// webCall is a function of the handler interface; -1 is a failure.
type webCall func(x *Exchange, mem api.Memory, stack []uint64) int32

// Call implements api.GoModuleFunction.
func (f webCall) Call(ctx context.Context, mod api.Module, stack []uint64) {
	result := int32(-1)
	if i := of(ctx); i != nil && i.exchange != nil {
		result = f(i.exchange, mod.Memory(), narrow(stack))
	}
	stack[0] = uint64(uint32(result))
}

// handlerFunctions are the interface that framework/wasm/abi.md describes.
func handlerFunctions() map[string]hostFunc {
	two, result := parameters(2), []api.ValueType{i32}
	return map[string]hostFunc{
		"request_head":   {call: webCall(requestHead), params: two, results: result},
		"request_body":   {call: webCall(requestBody), params: two, results: result},
		"response_head":  {call: webCall(responseHead), params: two, results: result},
		"response_body":  {call: webCall(responseBody), params: two, results: result},
		"response_flush": {call: webCall(responseFlush), results: result},
	}
}

// requestHead writes the head and returns its length. When there is less room than that, nothing is written.
func requestHead(x *Exchange, mem api.Memory, s []uint64) int32 {
	if x.head == nil {
		x.head = headOf(x.Request)
	}
	if uint32(s[1]) < uint32(len(x.head)) {
		return int32(len(x.head))
	}
	if !mem.Write(uint32(s[0]), x.head) {
		return -1
	}
	return int32(len(x.head))
}

// headOf is the head of a request as it goes over the wire.
func headOf(r *http.Request) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.URL.RequestURI(), r.Host)
	if r.ContentLength < 0 {
		b.WriteString("Transfer-Encoding: chunked\r\n") // says that there is a body; what is read of it is plain
	}
	_ = r.Header.Write(&b)
	b.WriteString("\r\n")
	return b.Bytes()
}

// requestBody reads some of the body; 0 is its end.
func requestBody(x *Exchange, mem api.Memory, s []uint64) int32 {
	p, ok := mem.Read(uint32(s[0]), uint32(s[1]))
	if !ok {
		return -1
	}
	for len(p) > 0 {
		n, err := x.Request.Body.Read(p)
		switch {
		case n > 0:
			return int32(n)
		case errors.Is(err, io.EOF):
			return 0
		case err != nil:
			return -1
		}
	}
	return 0
}

// responseHead begins the response: a status code and, if it likes, a reason, then header lines, then an empty line.
func responseHead(x *Exchange, mem api.Memory, s []uint64) int32 {
	p, ok := mem.Read(uint32(s[0]), uint32(s[1]))
	if !ok || x.Answered {
		return -1
	}
	code, header, err := ParseHead(p)
	if err != nil {
		x.failed = err
		return -1
	}
	to := x.Writer.Header()
	for k, v := range header {
		to[k] = v
	}
	x.begin(code)
	return 0
}

// ParseHead reads the head of a response: "200 OK" or only "200", perhaps with "HTTP/1.1" before, then header lines.
func ParseHead(p []byte) (int, http.Header, error) {
	if len(p) > maxHead {
		return 0, nil, fmt.Errorf("the head of the response has %d bytes, at most %d are allowed", len(p), maxHead)
	}
	if !bytes.HasSuffix(p, []byte("\n")) {
		p = append(slices.Clone(p), "\r\n"...)
	}
	r := textproto.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(p), strings.NewReader("\r\n"))))
	line, err := r.ReadLine()
	if err != nil {
		return 0, nil, fmt.Errorf("the head of the response is empty")
	}
	line = strings.TrimPrefix(strings.TrimPrefix(line, "HTTP/1.1 "), "HTTP/1.0 ")
	number, _, _ := strings.Cut(line, " ")
	code, err := strconv.Atoi(number)
	if err != nil || code < 200 || code > 599 {
		return 0, nil, fmt.Errorf("the head of the response begins with %.40q and not with a status code from 200 to 599", line)
	}
	h, err := r.ReadMIMEHeader()
	if err != nil {
		return 0, nil, fmt.Errorf("the head of the response: %w", err)
	}
	return code, http.Header(h), nil
}

func responseBody(x *Exchange, mem api.Memory, s []uint64) int32 {
	p, ok := mem.Read(uint32(s[0]), uint32(s[1]))
	if !ok || x.failed != nil {
		return -1
	}
	if !x.Answered {
		x.begin(http.StatusOK)
	}
	if _, err := x.Writer.Write(p); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		x.failed = err
		return -1
	}
	return 0
}

func responseFlush(x *Exchange, _ api.Memory, _ []uint64) int32 {
	if !x.Answered {
		x.begin(http.StatusOK)
	}
	if err := http.NewResponseController(x.Writer).Flush(); err != nil {
		return -1
	}
	return 0
}
