//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	javaframework "github.com/openfunction/ofn/framework/java"
)

const (
	javaHello = `import dev.openfunction.functions.*;
public class Hello implements HttpFunction {
  public void service(HttpRequest request, HttpResponse response) throws Exception {
    response.setContentType("text/html; charset=utf-8");
    response.getWriter().write("hello");
  }
}
`
	javaBare = `import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;
public class Bare {
  public static void main(String[] args) throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 1024);
    server.setExecutor(Executors.newCachedThreadPool());
    server.createContext("/", exchange -> {
      byte[] body = "hello".getBytes();
      exchange.getResponseHeaders().set("Content-Type", "text/html; charset=utf-8");
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    server.start();
  }
}
`
)

// javaLanguage compares with the HTTP server of the JDK and an executor of threads, started with the flags that builds give to functions.
func javaLanguage() language {
	return language{name: "java", ratio: 0.7, memory: 90, prepare: func(dir string) (ours, bare program, err error) {
		compiler, err := exec.LookPath("javac")
		if err != nil {
			return ours, bare, err
		}
		runtime, err := exec.LookPath("java")
		if err != nil {
			return ours, bare, err
		}
		files := map[string][]byte{"Hello.java": []byte(javaHello), "Bare.java": []byte(javaBare)}
		for _, part := range []javaframework.Source{javaframework.Stubs(), javaframework.CloudEvents(), javaframework.Framework()} {
			for name, text := range part {
				files[name] = text
			}
		}
		args := []string{"-nowarn", "-proc:none", "-XDignore.symbol.file", "-d", filepath.Join(dir, "classes")}
		for name, text := range files {
			at := filepath.Join(dir, "src", name)
			if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
				return ours, bare, err
			}
			if err := os.WriteFile(at, text, 0o644); err != nil {
				return ours, bare, fmt.Errorf("writing %s: %w", name, err)
			}
			args = append(args, at)
		}
		if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
			return ours, bare, fmt.Errorf("compiling: %w\n%s", err, out)
		}
		flags := []string{runtime, "-XX:+UseSerialGC", "-XX:MaxRAMPercentage=60", "-Xss512k", "-cp", filepath.Join(dir, "classes")}
		ours = program{args: append(flags[:len(flags):len(flags)], javaframework.Main), env: []string{"FUNCTION_TARGET=Hello"}}
		bare = program{args: append(flags[:len(flags):len(flags)], "-Dsun.net.httpserver.nodelay=true", "Bare")} // otherwise each answer waits for the client
		return ours, bare, nil
	}}
}
