package dev.openfunction.invoker;

import dev.openfunction.functions.HttpRequest;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** A request as it was received. Names and values of headers are bytes, one to a character. */
final class Request implements HttpRequest {
    private final String method;
    private final String target;
    private final String path;
    private final String query;
    final boolean oneZero;
    final Body body;
    private final List<String> headers = new ArrayList<>(24); // name, value, name, value
    private final Server server;
    private final long arrived = System.nanoTime();
    private Map<String, String> variables = Map.of();
    private byte[] whole;
    private InputStream stream;
    private BufferedReader reader;
    private Map<String, List<String>> headerMap;
    private Map<String, List<String>> parameters;
    private String id;

    Request(String method, String target, Server server, boolean oneZero, Body body) {
        this.method = method;
        this.target = target;
        this.server = server;
        this.oneZero = oneZero;
        this.body = body;
        String p = target;
        if (!p.startsWith("/") && p.contains("://")) { // absolute form
            int slash = p.indexOf('/', p.indexOf("://") + 3);
            p = slash < 0 ? "/" : p.substring(slash);
        }
        int mark = p.indexOf('?');
        path = mark < 0 ? p : p.substring(0, mark);
        query = mark < 0 ? null : p.substring(mark + 1);
    }

    void add(String name, String value) {
        headers.add(name);
        headers.add(value);
    }

    /** The first value of a header, or null. */
    String header(String name) {
        for (int i = 0; i < headers.size(); i += 2) {
            if (headers.get(i).equalsIgnoreCase(name)) {
                return headers.get(i + 1);
            }
        }
        return null;
    }

    List<String> headers() {
        return headers;
    }

    /** Finds out how long the body is. */
    void frame(Body b) throws Connection.BadRequest {
        String length = null;
        String coding = null;
        for (int i = 0; i < headers.size(); i += 2) {
            String name = headers.get(i);
            if (name.length() == 14 && name.equalsIgnoreCase("Content-Length")) {
                if (length != null && !length.equals(headers.get(i + 1))) {
                    throw new Connection.BadRequest(400, "the request has two lengths");
                }
                length = headers.get(i + 1);
            } else if (name.length() == 17 && name.equalsIgnoreCase("Transfer-Encoding")) {
                coding = coding == null ? headers.get(i + 1) : coding + "," + headers.get(i + 1);
            }
        }
        boolean waits = !oneZero && "100-continue".equalsIgnoreCase(header("Expect"));
        if (coding != null) {
            if (!coding.equalsIgnoreCase("chunked") || length != null || oneZero) {
                throw new Connection.BadRequest(400, "the request has a transfer coding other than chunked, or a length beside it");
            }
            b.chunked(waits);
        } else if (length != null) {
            if (!Settings.digits(length) || length.length() > 18) {
                throw new Connection.BadRequest(400, "the length of the request is no number");
            }
            b.fixed(Long.parseLong(length), waits);
        }
    }

    /** Does the server end? */
    boolean drains() {
        return server != null && server.draining();
    }

    boolean wantsClose() {
        String c = header("Connection");
        return oneZero || c != null && c.toLowerCase(java.util.Locale.ROOT).contains("close");
    }

    @Override
    public String getMethod() {
        return method;
    }

    String target() {
        return target;
    }

    @Override
    public String getUri() {
        if (!target.startsWith("/")) {
            return target;
        }
        String host = header("Host");
        String scheme = "https".equals(header("X-Forwarded-Proto")) ? "https" : "http";
        return scheme + "://" + (host == null ? "localhost" : host) + target;
    }

    @Override
    public String getPath() {
        return path;
    }

    @Override
    public Optional<String> getQuery() {
        return Optional.ofNullable(query);
    }

    @Override
    public Map<String, List<String>> getQueryParameters() {
        if (parameters == null) {
            parameters = new LinkedHashMap<>();
            for (String pair : query == null ? new String[0] : query.split("&")) {
                if (!pair.isEmpty()) {
                    int eq = pair.indexOf('=');
                    String name = Percent.decodeForm(eq < 0 ? pair : pair.substring(0, eq));
                    parameters.computeIfAbsent(name, k -> new ArrayList<>(1)).add(eq < 0 ? "" : Percent.decodeForm(pair.substring(eq + 1)));
                }
            }
        }
        return parameters;
    }

    @Override
    public Map<String, HttpPart> getParts() {
        try {
            return Multipart.parse(header("Content-Type"), whole(server.maxBody()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    void variables(Map<String, String> v) {
        variables = v;
    }

    @Override
    public Map<String, String> getPathVariables() {
        return variables;
    }

    @Override
    public Optional<String> getContentType() {
        return Optional.ofNullable(header("Content-Type"));
    }

    /** The media type in lower case without parameters; empty without one. */
    String mediaType() {
        String t = header("Content-Type");
        if (t == null) {
            return "";
        }
        int semicolon = t.indexOf(';');
        return (semicolon < 0 ? t : t.substring(0, semicolon)).trim().toLowerCase(java.util.Locale.ROOT);
    }

    @Override
    public long getContentLength() {
        if (whole != null) {
            return whole.length;
        }
        String length = header("Content-Length");
        return length != null ? Long.parseLong(length) : header("Transfer-Encoding") != null ? -1 : 0;
    }

    @Override
    public Optional<String> getCharacterEncoding() {
        return Text.charset(header("Content-Type"));
    }

    @Override
    public InputStream getInputStream() {
        if (stream == null) {
            stream = whole != null ? new ByteArrayInputStream(whole) : body;
        }
        return stream;
    }

    @Override
    public BufferedReader getReader() {
        if (reader == null) {
            Charset charset = getCharacterEncoding().map(Charset::forName).orElse(StandardCharsets.UTF_8);
            reader = new BufferedReader(new InputStreamReader(getInputStream(), charset));
        }
        return reader;
    }

    /** The body is larger than a function may have it in memory. */
    static final class TooLarge extends IOException {
        private static final long serialVersionUID = 1;

        TooLarge(int most) {
            super("the request body is larger than " + most + " bytes");
        }
    }

    /** Reads the body whole. */
    byte[] whole(int most) throws IOException {
        if (whole != null) {
            return whole;
        }
        String length = header("Content-Length");
        if (length != null && Long.parseLong(length) > most) {
            throw new TooLarge(most);
        }
        ByteArrayOutputStream all = new ByteArrayOutputStream(length == null ? 1024 : Integer.parseInt(length));
        byte[] part = new byte[8 << 10];
        for (int n; (n = body.read(part, 0, part.length)) >= 0;) {
            if (all.size() + (long) n > most) {
                throw new TooLarge(most);
            }
            all.write(part, 0, n);
        }
        whole = all.toByteArray();
        return whole;
    }

    @Override
    public Map<String, List<String>> getHeaders() {
        if (headerMap == null) {
            headerMap = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
            for (int i = 0; i < headers.size(); i += 2) {
                headerMap.computeIfAbsent(headers.get(i), k -> new ArrayList<>(1)).add(headers.get(i + 1));
            }
        }
        return headerMap;
    }

    @Override
    public Optional<String> getFirstHeader(String name) {
        return Optional.ofNullable(header(name));
    }

    /** When the caller stops waiting, as System.nanoTime, or 0. */
    private long deadline() {
        String v = header("X-OpenFunction-Timeout-Ms");
        if (v == null || v.length() > 12 || !Settings.digits(v) || Long.parseLong(v) == 0) {
            return 0;
        }
        return arrived + Long.parseLong(v) * 1_000_000;
    }

    @Override
    public Optional<Duration> getTimeRemaining() {
        long d = deadline();
        return d == 0 ? Optional.empty() : Optional.of(Duration.ofNanos(Math.max(0, d - System.nanoTime())));
    }

    /** The trace id of a valid traceparent, or null. */
    String traceId() {
        String t = header("traceparent");
        if (t == null || t.length() < 55 || t.charAt(2) != '-' || t.charAt(35) != '-' || t.charAt(52) != '-' || !hex(t, 0, 2) || !hex(t, 3, 35)
                || !hex(t, 36, 52) || !hex(t, 53, 55) || t.startsWith("ff") || zeros(t, 3, 35) || zeros(t, 36, 52)) {
            return null;
        }
        if (t.length() > 55 && (t.startsWith("00") || t.charAt(55) != '-')) {
            return null;
        }
        return t.substring(3, 35);
    }

    private static boolean hex(String s, int from, int to) {
        for (int i = from; i < to; i++) {
            char c = s.charAt(i);
            if (!(c >= '0' && c <= '9' || c >= 'a' && c <= 'f')) {
                return false;
            }
        }
        return true;
    }

    private static boolean zeros(String s, int from, int to) {
        for (int i = from; i < to; i++) {
            if (s.charAt(i) != '0') {
                return false;
            }
        }
        return true;
    }

    /** The request id of the contract. */
    String id() {
        if (id == null) {
            String given = header("X-Request-Id");
            boolean valid = given != null && !given.isEmpty() && given.length() <= 128 && given.chars().allMatch(c -> c > 0x20 && c < 0x7F);
            String trace = traceId();
            id = valid ? given : trace != null ? trace : Text.randomHex(32);
        }
        return id;
    }
}
