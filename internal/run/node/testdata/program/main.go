// Command program is what the copies of the tests with the real sandbox run. Its first argument says what it does.
package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	switch os.Args[1] {
	case "broken":
		fmt.Println("broken on purpose")
		os.Exit(3)
	case "greedy":
		fmt.Println("eating")
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
		}
	case "check": // is well the first time it is asked in a copy, and never again
		if _, err := os.Stat("/tmp/checked"); err == nil {
			fmt.Println("I am ill")
			os.Exit(1)
		}
		if err := os.WriteFile("/tmp/checked", nil, 0o600); err != nil {
			panic(err)
		}
	case "elsewhere":
		serve("127.0.0.1:3000")
	default:
		serve(":" + os.Getenv("PORT"))
	}
}

// serve answers every request with "ok", on the socket that was handed over if there is one.
func serve(addr string) {
	l, err := net.FileListener(os.NewFile(3, "activation"))
	if os.Getenv("LISTEN_FDS") == "" {
		l, err = net.Listen("tcp", addr)
	}
	if err != nil {
		panic(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go answer(c)
	}
}

func answer(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	for r := bufio.NewReader(c); ; {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}
