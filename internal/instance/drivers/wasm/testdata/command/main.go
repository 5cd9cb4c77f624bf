// Command command is a CGI program that does what its caller asks for in the path.
package main

import (
	"io"
	"os"
	"strings"
)

func main() {
	out := os.Stdout.WriteString
	switch os.Getenv("PATH_INFO") {
	case "/echo":
		out("Status: 201 Created\r\nContent-Type: text/plain\r\n\r\n")
		io.Copy(os.Stdout, os.Stdin)
	case "/env":
		out(strings.Join(os.Environ(), "\n"))
	case "/exit":
		os.Exit(3)
	case "/loop":
		for {
		}
	case "/flood":
		for {
			out(strings.Repeat("x", 1000) + "\n")
		}
	default:
		out("hello from " + os.Getenv("REQUEST_METHOD"))
	}
}
