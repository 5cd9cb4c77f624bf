// Command hello is the function that the tests build. It answers HTTP with system calls alone: a build in a pod begins with empty caches,
// and compiling a package that knows HTTP takes minutes on a machine that has other work.
package main

import "syscall"

const answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 19\r\nConnection: close\r\n\r\nhello from a build\n"

func main() {
	listener, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err == nil {
		err = syscall.Bind(listener, &syscall.SockaddrInet4{Port: 8080})
	}
	if err == nil {
		err = syscall.Listen(listener, 128)
	}
	for err == nil {
		var conn int
		if conn, _, err = syscall.Accept(listener); err == nil {
			go serve(conn)
		}
	}
	println(err.Error())
	syscall.Exit(1)
}

// serve answers the one request of a connection; who only looks whether somebody listens sends none.
func serve(conn int) {
	defer syscall.Close(conn)
	var request [4096]byte
	if n, err := syscall.Read(conn, request[:]); n > 0 && err == nil {
		_, _ = syscall.Write(conn, []byte(answer))
	}
}
