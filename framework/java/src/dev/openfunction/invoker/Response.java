package dev.openfunction.invoker;

import dev.openfunction.functions.HttpResponse;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** The answer to a request: kept until it is flushed, becomes large or ends. Without a connection it is only kept. */
final class Response extends OutputStream implements HttpResponse {
    private static final int KEPT_MOST = 16 << 10;
    private static final byte[] LAST = "0\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1);
    private static volatile long dateSecond;
    private static volatile String date = "";

    private final Connection connection;
    private final Request request;
    private int status = 200;
    private String reason = "";
    private final List<String> headers = new ArrayList<>(8);
    private String function;
    private byte[] kept;
    private int size;
    private boolean begun;
    private boolean close;
    private boolean chunked;
    private boolean ending;
    private long declared = -1;
    private long sent;
    private BufferedWriter writer;

    Response(Connection connection, Request request) {
        this.connection = connection;
        this.request = request;
    }

    /** Names the function in the answer, whatever becomes of it. */
    void function(String name) {
        function = name;
    }

    boolean begun() {
        return begun;
    }

    /** Was anything written? */
    boolean written() throws IOException {
        settle();
        return begun || size > 0;
    }

    void endConnection() {
        close = true;
    }

    /** Forgets what was set and written but not sent. */
    void reset() {
        status = 200;
        reason = "";
        headers.clear();
        size = 0;
        declared = -1;
        writer = null;
    }

    /** Makes this an answer of the framework. */
    void own(int code, String text, String... more) {
        reset();
        status = code;
        header("Content-Type", "text/plain; charset=utf-8");
        header("X-Content-Type-Options", "nosniff");
        for (int i = 0; i < more.length; i += 2) {
            header(more[i], more[i + 1]);
        }
        keep((text + "\n").getBytes(StandardCharsets.UTF_8));
    }

    void header(String name, String value) {
        headers.add(name);
        headers.add(value);
    }

    void keep(byte[] data) {
        room(data.length);
        System.arraycopy(data, 0, kept, size, data.length);
        size += data.length;
    }

    /** What was written and not sent. */
    byte[] kept() throws IOException {
        settle();
        return kept == null ? new byte[0] : Arrays.copyOf(kept, size);
    }

    /** Takes over what another answer holds. */
    void take(Response other) throws IOException {
        status = other.status;
        reason = other.reason;
        headers.addAll(other.headers);
        keep(other.kept());
    }

    @Override
    public void setStatusCode(int code) {
        setStatusCode(code, "");
    }

    @Override
    public int getStatusCode() {
        return status;
    }

    @Override
    public void setStatusCode(int code, String message) {
        if (code < 200 || code > 999) {
            throw new IllegalArgumentException("the status of an answer is " + code + ": it must be from 200 to 999");
        }
        status = code;
        reason = value("reason", message == null ? "" : message);
    }

    @Override
    public void setContentType(String contentType) {
        remove("Content-Type");
        if (contentType != null) {
            header("Content-Type", value("Content-Type", contentType));
        }
    }

    @Override
    public Optional<String> getContentType() {
        return Optional.ofNullable(get("Content-Type"));
    }

    private String get(String name) {
        for (int i = 0; i < headers.size(); i += 2) {
            if (headers.get(i).equalsIgnoreCase(name)) {
                return headers.get(i + 1);
            }
        }
        return null;
    }

    private void remove(String name) {
        for (int i = headers.size() - 2; i >= 0; i -= 2) {
            if (headers.get(i).equalsIgnoreCase(name)) {
                headers.remove(i + 1);
                headers.remove(i);
            }
        }
    }

    @Override
    public void appendHeader(String name, String value) {
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            if (c <= ' ' || c >= 0x7F || "()<>@,;:\\\"/[]?={}".indexOf(c) >= 0) {
                throw new IllegalArgumentException("the name of a header has the character '" + c + "'");
            }
        }
        if (name.isEmpty()) {
            throw new IllegalArgumentException("the name of a header is empty");
        }
        switch (name.toLowerCase(Locale.ROOT)) {
            case "content-type":
                setContentType(value);
                return;
            case "content-length":
                declared = Long.parseLong(value.trim());
                return;
            case "transfer-encoding":
            case "keep-alive":
                return; // the framing is the server's
            case "connection":
                close |= value.toLowerCase(Locale.ROOT).contains("close");
                return;
            default:
                header(name, value(name, value));
        }
    }

    /** The value as it is sent: characters are bytes, or UTF-8 where one is none. */
    private static String value(String name, String value) {
        boolean wide = false;
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c < ' ' && c != '\t' || c == 0x7F) {
                throw new IllegalArgumentException("the value of " + name + " has a control character");
            }
            wide |= c > 0xFF;
        }
        return wide ? new String(value.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1) : value;
    }

    @Override
    public Map<String, List<String>> getHeaders() {
        Map<String, List<String>> m = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        for (int i = 0; i < headers.size(); i += 2) {
            m.computeIfAbsent(headers.get(i), k -> new ArrayList<>(1)).add(headers.get(i + 1));
        }
        return m;
    }

    @Override
    public OutputStream getOutputStream() {
        return this;
    }

    @Override
    public BufferedWriter getWriter() {
        if (writer == null) {
            Charset charset = Text.charset(get("Content-Type")).map(Charset::forName).orElse(StandardCharsets.UTF_8);
            writer = new BufferedWriter(new OutputStreamWriter(this, charset));
        }
        return writer;
    }

    // The stream.

    @Override
    public void write(int b) throws IOException {
        write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] b, int offset, int length) throws IOException {
        if (connection == null || size + length <= KEPT_MOST) {
            room(length);
            System.arraycopy(b, offset, kept, size, length);
            size += length;
            return;
        }
        begin();
        part(kept, 0, size);
        size = 0;
        part(b, offset, length);
        connection.flush();
    }

    private void room(int n) {
        if (kept == null) {
            kept = new byte[Math.max(512, n)];
        } else if (kept.length - size < n) {
            kept = Arrays.copyOf(kept, Math.max(kept.length * 2, size + n));
        }
    }

    @Override
    public void flush() throws IOException {
        if (connection == null || ending) {
            return;
        }
        begin();
        part(kept, 0, size);
        size = 0;
        connection.flush();
    }

    /** A function may close what it wrote to; the answer ends with the call. */
    @Override
    public void close() {}

    private boolean bodiless() {
        return "HEAD".equals(request.getMethod()) || status == 204 || status == 304;
    }

    /** Sends the head of an answer whose length is not known unless the function declared it. */
    private void begin() throws IOException {
        if (begun) {
            return;
        }
        chunked = declared < 0 && !request.oneZero;
        close |= declared < 0 && request.oneZero;
        head(declared);
    }

    private void part(byte[] b, int offset, int length) throws IOException {
        sent += length;
        if (length == 0 || bodiless()) {
            return;
        }
        if (declared >= 0 && sent > declared) {
            throw new IOException("the function wrote more than the Content-Length that it set");
        }
        if (chunked) {
            connection.put(Integer.toHexString(length) + "\r\n");
        }
        connection.put(b, offset, length);
        if (chunked) {
            connection.put("\r\n");
        }
    }

    private void head(long length) {
        begun = true;
        connection.put("HTTP/1.1 ");
        connection.put(status == 200 && reason.isEmpty() ? "200 OK" : status + " " + (reason.isEmpty() ? Reasons.of(status) : reason));
        connection.put("\r\nDate: ");
        connection.put(now());
        for (int i = 0; i < headers.size(); i += 2) {
            connection.put("\r\n");
            connection.put(headers.get(i));
            connection.put(": ");
            connection.put(headers.get(i + 1));
        }
        if (function != null) {
            connection.put("\r\nX-OpenFunction-Function: ");
            connection.put(function);
        }
        if (chunked && status != 204 && status != 304) {
            connection.put("\r\nTransfer-Encoding: chunked");
        } else if (length >= 0 && status != 204 && (status != 304 || declared >= 0)) {
            connection.put("\r\nContent-Length: ");
            connection.put(Long.toString(length));
        }
        close |= request.wantsClose() || request.body.withheld() || request.drains();
        connection.put(close ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n");
    }

    private static String now() {
        long second = System.currentTimeMillis() / 1000;
        if (second != dateSecond) {
            date = DateTimeFormatter.RFC_1123_DATE_TIME.format(ZonedDateTime.now(ZoneOffset.UTC).withNano(0)).replaceFirst(", (\\d) ", ", 0$1 ");
            dateSecond = second;
        }
        return date;
    }

    /** Brings what is in the writer into the answer, without sending it. */
    private void settle() throws IOException {
        if (writer != null) {
            ending = true;
            writer.flush();
            ending = false;
        }
    }

    /** Ends the answer; false when the connection must end with it. */
    boolean finish() throws IOException {
        settle();
        if (!begun) {
            chunked = false;
            boolean head = bodiless();
            long length = head && declared >= 0 ? declared : size;
            declared = head ? declared : -1;
            head(length);
            if (!head && size > 0) {
                connection.put(kept, 0, size);
            }
            connection.flush();
            return !close;
        }
        part(kept, 0, size);
        if (declared >= 0 && sent < declared && !bodiless()) {
            throw new IOException("the function wrote less than the Content-Length that it set");
        }
        if (chunked && !bodiless()) {
            connection.put(LAST, 0, LAST.length);
        }
        connection.flush();
        return !close;
    }

    /** Breaks the connection off, so that nobody takes the answer for whole. */
    void abort() {
        connection.close();
    }
}
