package gateway

import (
	"fmt"
)

// response is the head of a copy's answer and what it means.
type response struct {
	head
	code     int
	reason   span
	length   int64 // of the body; chunkedLength, closeLength
	close    bool  // the copy ends the connection after it
	dated    bool
	declared int64 // Content-Length, where there is one
	minor    int

	lengths, encodings int
	keepAlive          bool
	connection         [][]byte
}

func badAnswer(text string) error { return fmt.Errorf("%w: %s", errBadAnswer, text) }

// reset forgets everything but the memory.
func (p *response) reset() {
	p.head.reset()
	*p = response{head: p.head, connection: p.connection[:0]}
}

// interpret checks a complete head. bodyless says that the request was a HEAD.
func (p *response) interpret(bodyless bool) error {
	if err := p.statusLine(); err != nil {
		return err
	}
	p.length = closeLength
	for i := range p.fields {
		if err := p.field(&p.fields[i]); err != nil {
			return err
		}
	}
	if p.encodings > 0 {
		if p.lengths > 0 {
			return badAnswer("both Content-Length and Transfer-Encoding")
		}
		p.length = chunkedLength
	}
	p.close = p.close || p.minor == 0 && !p.keepAlive
	if bodyless || p.code < 200 || p.code == 204 || p.code == 304 {
		p.length = 0
	}
	if p.length == closeLength {
		p.close = true
	}
	return nil
}

// statusLine reads "HTTP/1.1 200 OK".
func (p *response) statusLine() error {
	line := p.in(p.start)
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return badAnswer("no HTTP/1.1 status line")
	}
	p.minor = int(line[7] - '0')
	p.code = 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return badAnswer("the status is not a number")
		}
		p.code = p.code*10 + int(c-'0')
	}
	if p.code < 100 || len(line) > 12 && line[12] != ' ' {
		return badAnswer("the status is not a number")
	}
	p.reason = span{p.start.to, p.start.to}
	if len(line) > 13 {
		p.reason.from = p.start.from + 13
	}
	for _, c := range p.in(p.reason) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return badAnswer("the status line contains a control character")
		}
	}
	return nil
}

func (p *response) field(f *field) error {
	v := p.content(f)
	switch f.id {
	case hContentLength:
		n, ok := parseLength(v)
		if p.lengths++; !ok || p.lengths > 1 {
			return badAnswer("Content-Length is not one decimal number")
		}
		p.length, p.declared = n, n
	case hTransferEncoding:
		if p.encodings++; p.encodings > 1 || !equalFold(v, "chunked") {
			return badAnswer("a Transfer-Encoding other than chunked")
		}
	case hConnection:
		eachToken(v, p.option)
	case hDate:
		p.dated = true
	}
	return nil
}

// function is the name of the function that answered, where the copy gives one.
func (p *response) function() string {
	for i := range p.fields {
		if p.fields[i].id == hFunction {
			return string(p.content(&p.fields[i]))
		}
	}
	return ""
}

func (p *response) option(t []byte) {
	switch {
	case equalFold(t, "close"):
		p.close = true
	case equalFold(t, "keep-alive"):
		p.keepAlive = true
	default:
		p.connection = append(p.connection, t)
	}
}
