package lambda

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// event is a call in the form of payload format 2.0 of the API Gateway, which function URLs have too.
type event struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	Query           map[string]string `json:"queryStringParameters,omitempty"`
	Context         eventContext      `json:"requestContext"`
	Body            string            `json:"body,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

type eventContext struct {
	AccountID    string    `json:"accountId"`
	APIID        string    `json:"apiId"`
	DomainName   string    `json:"domainName"`
	DomainPrefix string    `json:"domainPrefix"`
	HTTP         eventHTTP `json:"http"`
	RequestID    string    `json:"requestId"`
	RouteKey     string    `json:"routeKey"`
	Stage        string    `json:"stage"`
	Time         string    `json:"time"`
	TimeEpoch    int64     `json:"timeEpoch"`
}

type eventHTTP struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

const (
	defaultRoute = "$default"
	account      = "000000000000"
)

// newEvent makes the event of a call.
func newEvent(r *http.Request, body []byte, id string, now time.Time) ([]byte, error) {
	domain := r.Host
	if host, _, err := net.SplitHostPort(domain); err == nil {
		domain = host
	}
	prefix, _, _ := strings.Cut(domain, ".")
	e := event{
		Version: "2.0", RouteKey: defaultRoute, RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery, Headers: map[string]string{"host": r.Host},
		Context: eventContext{
			AccountID: account, APIID: prefix, DomainName: domain, DomainPrefix: prefix, RequestID: id, RouteKey: defaultRoute, Stage: defaultRoute,
			Time: now.UTC().Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
			HTTP: eventHTTP{Method: r.Method, Path: r.URL.Path, Protocol: r.Proto, SourceIP: source(r), UserAgent: r.UserAgent()},
		},
	}
	for k, v := range r.Header {
		if k == "Cookie" {
			for _, c := range v {
				e.Cookies = append(e.Cookies, strings.Split(c, "; ")...)
			}
			continue
		}
		e.Headers[strings.ToLower(k)] = strings.Join(v, ",")
	}
	if q := r.URL.Query(); len(q) > 0 {
		e.Query = map[string]string{}
		for k, v := range q {
			e.Query[k] = strings.Join(v, ",")
		}
	}
	if e.Body = string(body); !textual(r.Header.Get("Content-Type"), body) {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("making the event: %w", err)
	}
	return data, nil
}

// source is the address of the caller.
func source(r *http.Request) string {
	if from, _, _ := strings.Cut(r.Header.Get("X-Forwarded-For"), ","); from != "" {
		return strings.TrimSpace(from)
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return "127.0.0.1"
}

// textual tells whether a body goes into the event as text.
func textual(contentType string, body []byte) bool {
	if !utf8.Valid(body) {
		return false
	}
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return true
	}
	if strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml") {
		return true
	}
	switch t {
	case "application/json", "application/xml", "application/javascript", "application/x-www-form-urlencoded", "application/graphql", "application/yaml":
		return true
	}
	return false
}
