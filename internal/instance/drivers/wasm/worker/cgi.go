package worker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// maxHead bounds the header lines of a CGI response, in bytes.
const maxHead = 64 << 10

// cgiEnv is what RFC 3875 says about a request, beyond what is the same for all. The header Proxy is left out, which programs
// would take for their own configuration.
func cgiEnv(r *http.Request) []string {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
	}
	env := []string{
		"GATEWAY_INTERFACE=CGI/1.1", "SERVER_SOFTWARE=ofn", "SERVER_PROTOCOL=" + r.Proto, "SERVER_NAME=" + host, "SERVER_PORT=" + port,
		"REQUEST_METHOD=" + r.Method, "REQUEST_URI=" + r.URL.RequestURI(), "SCRIPT_NAME=", "PATH_INFO=" + strings.ReplaceAll(r.URL.Path, "\x00", ""),
		"QUERY_STRING=" + r.URL.RawQuery, "REMOTE_ADDR=" + remote(r), "HTTP_HOST=" + r.Host,
	}
	if r.ContentLength >= 0 && (r.ContentLength > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut) {
		env = append(env, "CONTENT_LENGTH="+strconv.FormatInt(r.ContentLength, 10))
	}
	if t := r.Header.Get("Content-Type"); t != "" {
		env = append(env, "CONTENT_TYPE="+t)
	}
	for name, values := range r.Header {
		if name == "Proxy" || name == "Content-Type" || name == "Content-Length" || strings.Contains(name, "_") {
			continue
		}
		separator := ", "
		if name == "Cookie" {
			separator = "; "
		}
		value := strings.ReplaceAll(strings.Join(values, separator), "\x00", "")
		env = append(env, "HTTP_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"="+value)
	}
	return env
}

// remote is the caller as the gateway says.
func remote(r *http.Request) string {
	first, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ",")
	if ip := net.ParseIP(strings.TrimSpace(first)); ip != nil {
		return ip.String()
	}
	return "127.0.0.1"
}

// cgiResponse makes a response of what a program writes: header lines by the rules of CGI, an empty line and the body, or
// only a body. It is a CGI response when its first lines are header lines, one of which is Content-Type, Status or Location.
type cgiResponse struct {
	to   http.ResponseWriter
	head []byte // what was written while that is not decided
	body bool
}

// Write implements io.Writer.
func (c *cgiResponse) Write(p []byte) (int, error) {
	if c.body {
		return c.to.Write(p)
	}
	c.head = append(c.head, p...)
	if end, decided := scanHead(c.head); decided {
		return len(p), c.begin(end)
	}
	return len(p), nil
}

// finish is called when nothing more is written.
func (c *cgiResponse) finish() error {
	if c.body {
		return nil
	}
	return c.begin(0)
}

// scanHead looks through the first lines as far as they are there. Once it is decided, end is where the body begins after header
// lines, or 0 when these are none.
func scanHead(b []byte) (end int, decided bool) {
	for at := 0; ; {
		n := bytes.IndexByte(b[at:], '\n')
		if n < 0 || at+n >= maxHead {
			return 0, len(b) > maxHead
		}
		line := bytes.TrimSuffix(b[at:at+n], []byte("\r"))
		at += n + 1
		if len(line) == 0 {
			return at, true
		}
		name, _, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 || bytes.ContainsAny(name, " \t\"<>{}[]()@,;\\/?=") {
			return 0, true
		}
	}
}

// begin sends the head, of which end bytes are header lines, and what of the body is there.
func (c *cgiResponse) begin(end int) error {
	c.body = true
	head := c.head
	c.head = nil
	code, ok := http.StatusOK, false
	if end > 0 {
		var err error
		if code, ok, err = c.header(head[:end]); err != nil {
			return err
		}
	}
	if ok {
		head = head[end:]
	}
	c.to.WriteHeader(code)
	if len(head) == 0 {
		return nil
	}
	if _, err := c.to.Write(head); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
		return err
	}
	return nil
}

// header takes header lines over; ok is whether they are those of a CGI response.
func (c *cgiResponse) header(lines []byte) (code int, ok bool, err error) {
	h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(lines))).ReadMIMEHeader()
	if err != nil || h.Get("Content-Type") == "" && h.Get("Status") == "" && h.Get("Location") == "" {
		return http.StatusOK, false, nil
	}
	code = http.StatusOK
	if h.Get("Location") != "" {
		code = http.StatusFound
	}
	if s := h.Get("Status"); s != "" {
		number, _, _ := strings.Cut(s, " ")
		if code, err = strconv.Atoi(number); err != nil || code < 200 || code > 599 {
			return 0, false, fmt.Errorf("the header line Status says %.40q and not a code from 200 to 599", s)
		}
		h.Del("Status")
	}
	to := c.to.Header()
	for k, v := range h {
		to[k] = v
	}
	return code, true, nil
}
