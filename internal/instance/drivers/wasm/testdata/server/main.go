// Command server is the probe of instancetest as far as a WebAssembly module can be it: it answers lines on the socket that it
// was given.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

var keep [][]byte

func main() {
	if len(os.Args) < 2 {
		os.Exit(2)
	}
	switch os.Args[1] {
	case "serve", "ignore-term":
		serve()
	case "sleep":
		time.Sleep(time.Hour)
	case "exit":
		n, _ := strconv.Atoi(os.Args[2])
		os.Exit(n)
	case "print":
		for i := range 100 {
			fmt.Fprintf(os.Stdout, "out %d\n", i)
			fmt.Fprintf(os.Stderr, "err %d\n", i)
		}
		fmt.Print("unfinished")
	}
}

func serve() {
	l, err := net.FileListener(os.NewFile(listenFD(), "listener"))
	if err != nil {
		fmt.Println(err)
		os.Exit(4)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			fmt.Println(err)
			os.Exit(5)
		}
		go answer(c)
	}
}

// listenFD is the first descriptor after those of directories.
func listenFD() uintptr {
	if _, err := os.Stat("/"); err == nil {
		return 4
	}
	return 3
}

func answer(c net.Conn) {
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return
	}
	reply, err := do(strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	if err != nil {
		fmt.Fprintf(c, "failed\n%v", err)
		return
	}
	fmt.Fprintf(c, "ok\n%s", reply)
}

func do(words []string) (string, error) {
	switch words[0] {
	case "hello":
		return "hello", nil
	case "env":
		return strings.Join(os.Environ(), "\n"), nil
	case "read":
		b, err := os.ReadFile(words[1])
		return string(b), err
	case "write":
		return "", os.WriteFile(words[1], []byte(words[2]), 0o600)
	case "list":
		es, err := os.ReadDir(words[1])
		names := make([]string, len(es))
		for i, e := range es {
			names[i] = e.Name()
		}
		return strings.Join(names, " "), err
	case "alloc":
		n, _ := strconv.Atoi(words[1])
		for range n {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			keep = append(keep, b)
		}
		return "", nil
	}
	return "", fmt.Errorf("%s: not known", words[0])
}
