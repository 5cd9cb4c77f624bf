package dev.openfunction.invoker;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Serves a few requests to itself and ends, so that the classes that a start needs are known to an archive. The functions that the environment names
 * are made, but not called; one that cannot be made here, without its network and secrets, is left out. Argument: a file for where each is served.
 */
public final class Training {
    private Training() {}

    public static void main(String[] args) throws IOException, StartError {
        Settings settings = new Settings(System.getenv());
        Log log = new Log(Log.Level.WARN);
        try {
            Functions functions = new Functions(settings, log);
            if (args.length > 0) {
                Files.writeString(Path.of(args[0]), Json.write(routes(functions)));
            }
        } catch (StartError e) {
            System.err.println("not trained with the function: " + e.getMessage());
        }
        Path dir = Files.createTempDirectory("ofn");
        UnixDomainSocketAddress at = UnixDomainSocketAddress.of(dir.resolve("s"));
        Server.Handler handler = new Dispatcher(null, null, log)::handle;
        Server server = new Server(ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(at), handler, settings.maxBody);
        Thread serving = new Thread(() -> {
            try {
                server.run();
            } catch (IOException e) {
                System.err.println("not trained with requests: " + e);
            }
        });
        serving.start();
        for (int i = 0; i < 3; i++) {
            request(at, "GET /_ofn/health HTTP/1.1\r\nHost: f\r\nConnection: close\r\n\r\n");
            request(at, "OPTIONS * HTTP/1.1\r\nHost: f\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
        }
        server.drain(1000);
        Files.deleteIfExists(at.getPath());
        Files.deleteIfExists(dir);
    }

    private static List<Object> routes(Functions functions) {
        List<Object> routes = new ArrayList<>();
        for (Served f : functions.served) {
            Map<String, Object> route = new LinkedHashMap<>();
            route.put("name", f.name);
            route.put("class", f.instance.getClass().getName());
            route.put("path", f.route.path == null ? "" : f.route.path);
            route.put("methods", f.route.methods);
            routes.add(route);
        }
        return routes;
    }

    private static void request(UnixDomainSocketAddress at, String text) throws IOException {
        try (SocketChannel c = SocketChannel.open(at)) {
            c.write(ByteBuffer.wrap(text.getBytes(StandardCharsets.US_ASCII)));
            ByteBuffer b = ByteBuffer.allocate(4096);
            while (c.read(b) >= 0) {
                b.clear();
            }
        }
    }
}
