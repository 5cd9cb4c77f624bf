package guest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/tetratelabs/wazero/api"
)

// The interface of http-wasm (http-wasm.io/http-handler-abi), of which a handler here is the last in the chain: there is nobody to
// call next, so that a handler that wants that has answered 404.
const (
	webRequest, webResponse        = 0, 1
	webEOF                  uint64 = 1 << 32
)

// webState is what the interface keeps between its calls for one request.
type webState struct {
	status int
}

// handleHTTPWasm has a request handled by handle_request.
func (i *Instance) handleHTTPWasm(ctx context.Context, x *Exchange) error {
	x.web.status = http.StatusOK
	results, err := i.run(ctx, i.handle)
	if err != nil {
		return i.failure(ctx, err)
	}
	if len(results) > 0 && uint32(results[0]) != 0 && !x.Answered { // it wants the next handler
		http.NotFound(x.Writer, x.Request)
		x.Answered = true
	}
	if !x.Answered && x.failed == nil {
		x.begin(x.web.status)
	}
	return x.finish(0)
}

// webLong is a call that returns an i64, webVoid one that returns nothing.
type (
	webLong func(x *Exchange, mem api.Memory, stack []uint64) uint64
	webVoid func(x *Exchange, mem api.Memory, stack []uint64)
)

// Call implements api.GoModuleFunction.
func (f webLong) Call(ctx context.Context, mod api.Module, stack []uint64) {
	var v uint64
	if i := of(ctx); i != nil && i.exchange != nil {
		v = f(i.exchange, mod.Memory(), narrow(stack))
	}
	stack[0] = v
}

// Call implements api.GoModuleFunction.
func (f webVoid) Call(ctx context.Context, mod api.Module, stack []uint64) {
	if i := of(ctx); i != nil && i.exchange != nil {
		f(i.exchange, mod.Memory(), narrow(stack))
	}
}

// httpWasmFunctions are the functions of the interface.
func httpWasmFunctions() map[string]hostFunc {
	one, long := []api.ValueType{i32}, []api.ValueType{i64}
	text := func(get func(*Exchange) string) hostFunc {
		return hostFunc{params: parameters(2), results: one, call: webCall(func(x *Exchange, mem api.Memory, s []uint64) int32 {
			return int32(put(mem, s[0], s[1], get(x)))
		})}
	}
	void := func(n int, f webVoid) hostFunc { return hostFunc{call: f, params: parameters(n)} }
	return map[string]hostFunc{
		// Bodies are never buffered and trailers never kept, whatever is asked for.
		"enable_features":      {call: webCall(func(*Exchange, api.Memory, []uint64) int32 { return 0 }), params: one, results: one},
		"get_config":           text(func(*Exchange) string { return "" }),
		"get_method":           text(func(x *Exchange) string { return x.Request.Method }),
		"get_uri":              text(func(x *Exchange) string { return x.Request.URL.RequestURI() }),
		"get_protocol_version": text(func(x *Exchange) string { return x.Request.Proto }),
		"get_source_addr":      text(func(x *Exchange) string { return x.Request.RemoteAddr }),
		"set_method":           void(2, func(x *Exchange, mem api.Memory, s []uint64) {}),
		"set_uri":              void(2, func(x *Exchange, mem api.Memory, s []uint64) {}),
		"get_header_names":     {call: webLong(headerNames), params: parameters(3), results: long},
		"get_header_values":    {call: webLong(headerValues), params: parameters(5), results: long},
		"set_header_value":     void(5, func(x *Exchange, mem api.Memory, s []uint64) { changeHeader(x, mem, s, http.Header.Set) }),
		"add_header_value":     void(5, func(x *Exchange, mem api.Memory, s []uint64) { changeHeader(x, mem, s, http.Header.Add) }),
		"remove_header": void(3, func(x *Exchange, mem api.Memory, s []uint64) {
			changeHeader(x, mem, append(s[:3:3], 0, 0), func(h http.Header, k, _ string) { h.Del(k) })
		}),
		"read_body":       {call: webLong(readBody), params: parameters(3), results: long},
		"write_body":      void(3, writeBody),
		"get_status_code": {call: webCall(func(x *Exchange, _ api.Memory, _ []uint64) int32 { return int32(x.web.status) }), results: one},
		"set_status_code": void(1, func(x *Exchange, _ api.Memory, s []uint64) { setStatus(x, int(uint32(s[0]))) }),
		"log_enabled":     {call: webCall(func(*Exchange, api.Memory, []uint64) int32 { return 1 }), params: one, results: one},
		"log":             {call: logLine{}, params: parameters(3)},
	}
}

func setStatus(x *Exchange, code int) {
	if code >= 200 && code <= 599 {
		x.web.status = code
	}
}

// put writes a text when there is room for it, and returns its length.
func put(mem api.Memory, at, room uint64, text string) uint64 {
	if uint64(len(text)) <= uint64(uint32(room)) {
		mem.WriteString(uint32(at), text)
	}
	return uint64(len(text))
}

// headerOf is the header that a kind names; nil for trailers, which are not kept.
func headerOf(x *Exchange, kind uint64) http.Header {
	switch uint32(kind) {
	case webRequest:
		return x.Request.Header
	case webResponse:
		return x.Writer.Header()
	}
	return nil
}

// many writes texts, each ended with a zero, and returns how many there are and their length.
func many(mem api.Memory, at, room uint64, texts []string) uint64 {
	all := ""
	if len(texts) > 0 {
		all = strings.Join(texts, "\x00") + "\x00"
	}
	return uint64(len(texts))<<32 | put(mem, at, room, all)
}

func headerNames(x *Exchange, mem api.Memory, s []uint64) uint64 {
	var names []string
	for name := range headerOf(x, s[0]) {
		names = append(names, strings.ToLower(name))
	}
	if uint32(s[0]) == webRequest {
		names = append(names, "host")
	}
	return many(mem, s[1], s[2], names)
}

func headerValues(x *Exchange, mem api.Memory, s []uint64) uint64 {
	name, ok := mem.Read(uint32(s[1]), uint32(s[2]))
	if !ok {
		return 0
	}
	values := headerOf(x, s[0]).Values(string(name))
	if uint32(s[0]) == webRequest && strings.EqualFold(string(name), "host") {
		values = []string{x.Request.Host}
	}
	return many(mem, s[3], s[4], values)
}

func changeHeader(x *Exchange, mem api.Memory, s []uint64, change func(http.Header, string, string)) {
	name, ok := mem.Read(uint32(s[1]), uint32(s[2]))
	value, ok2 := mem.Read(uint32(s[3]), uint32(s[4]))
	if h := headerOf(x, s[0]); ok && ok2 && h != nil {
		change(h, string(name), string(value))
	}
}

func readBody(x *Exchange, mem api.Memory, s []uint64) uint64 {
	p, ok := mem.Read(uint32(s[1]), uint32(s[2]))
	if !ok || uint32(s[0]) != webRequest || len(p) == 0 {
		return webEOF
	}
	n, err := io.ReadFull(x.Request.Body, p)
	if err != nil {
		return webEOF | uint64(n)
	}
	return uint64(n)
}

func writeBody(x *Exchange, mem api.Memory, s []uint64) {
	p, ok := mem.Read(uint32(s[1]), uint32(s[2]))
	if !ok || uint32(s[0]) != webResponse || x.failed != nil {
		return
	}
	if !x.Answered {
		x.begin(x.web.status)
	}
	if _, err := x.Writer.Write(p); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		x.failed = err
	}
}

// logLine writes a line to the log of the copy.
type logLine struct{}

// Call implements api.GoModuleFunction.
func (logLine) Call(ctx context.Context, mod api.Module, s []uint64) {
	const longest = 64 << 10
	if p, ok := mod.Memory().Read(uint32(s[1]), min(uint32(s[2]), longest)); ok {
		if i := of(ctx); i != nil {
			_, _ = i.maker.s.Log.Write(append(append([]byte(nil), p...), '\n'))
		}
	}
}
