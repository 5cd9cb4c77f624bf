package lambda

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/openfunction/ofn/framework/shim/fork"
)

// httpReply is an answer in the form of payload format 2.0, and the prelude of a streamed one.
type httpReply struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]header   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Cookies           []string            `json:"cookies"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// header is a value that some programs give as a number or a boolean.
type header string

// UnmarshalJSON takes strings, numbers and booleans.
func (h *header) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		*h = header(s)
		return nil
	}
	if bytes.ContainsAny(b, "{[") {
		return fmt.Errorf("the value %s of a header is no string", b)
	}
	*h = header(b)
	return nil
}

// writeReply answers with what a program returned: an answer in the form of the API Gateway, or any other JSON, which is the body itself.
func writeReply(w http.ResponseWriter, data []byte) error {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil || members["statusCode"] == nil {
		var text string
		if json.Unmarshal(data, &text) == nil {
			data = []byte(text)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(data) // the caller went away
		return nil
	}
	var reply httpReply
	if err := json.Unmarshal(data, &reply); err != nil {
		return fmt.Errorf("what the program returned has a statusCode but is no answer for HTTP: %w", err)
	}
	body := []byte(reply.Body)
	if reply.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(reply.Body); err != nil {
			return fmt.Errorf("what the program returned says isBase64Encoded, but its body is not base64: %w", err)
		}
	}
	if err := reply.begin(w, "application/json"); err != nil {
		return err
	}
	if reply.StatusCode == http.StatusNoContent || reply.StatusCode == http.StatusNotModified {
		return nil
	}
	_, _ = w.Write(body) // the caller went away
	return nil
}

// begin sends status and header.
func (r httpReply) begin(w http.ResponseWriter, contentType string) error {
	if r.StatusCode < 200 || r.StatusCode > 599 {
		return fmt.Errorf("the program returned the statusCode %d: it must be a number from 200 to 599", r.StatusCode)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	for k, v := range r.Headers {
		h.Set(k, string(v))
	}
	for k, v := range r.MultiValueHeaders {
		h[http.CanonicalHeaderKey(k)] = v
	}
	for _, c := range r.Cookies {
		h.Add("Set-Cookie", c)
	}
	h.Del("Content-Length") // the body's own
	w.WriteHeader(r.StatusCode)
	return nil
}

// maxPrelude bounds the head of a streamed answer.
const maxPrelude = 1 << 20

// httpStream is the content type of a streamed answer that begins with status and header.
const httpStream = "application/vnd.awslambda.http-integration-response"

// writeStream passes a streamed answer on. begun tells whether anything of it was sent.
func writeStream(w http.ResponseWriter, contentType string, body io.Reader) (begun bool, err error) {
	in := bufio.NewReader(body)
	if contentType == httpStream {
		head, err := prelude(in)
		if err != nil {
			return false, err
		}
		if err := head.begin(w, "application/octet-stream"); err != nil {
			return false, err
		}
	} else if contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	if _, err := io.Copy(&fork.Stream{W: w}, in); err != nil {
		return true, fmt.Errorf("passing a streamed answer on: %w", err)
	}
	return true, nil
}

// prelude reads JSON that ends with eight zero bytes.
func prelude(in *bufio.Reader) (httpReply, error) {
	var head []byte
	end := make([]byte, 8)
	for !bytes.HasSuffix(head, end) {
		part, err := in.ReadSlice(0)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) || len(head) > maxPrelude {
			return httpReply{}, errors.New("the streamed answer does not begin with status and header as JSON and eight zero bytes")
		}
		head = append(head, part...)
	}
	reply := httpReply{StatusCode: http.StatusOK}
	if err := json.Unmarshal(head[:len(head)-len(end)], &reply); err != nil {
		return reply, fmt.Errorf("reading status and header of the streamed answer: %w", err)
	}
	return reply, nil
}
