package dev.openfunction.invoker;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;

/** One connection and its thread: requests of HTTP/1.1, one after the other. */
final class Connection implements Runnable {
    private static final int HEAD_MOST = 64 << 10;
    /** The JDK keeps a buffer of the size of the largest transfer for each thread. */
    private static final int TRANSFER_MOST = 64 << 10;
    /** How much of a body that nobody read is worth reading for the sake of the connection. */
    private static final long SKIP_MOST = 256 << 10;
    private static final long LINGER_MOST = 64 << 20;
    private static final byte[] CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n".getBytes(StandardCharsets.ISO_8859_1);

    /** A request that breaks HTTP: the answer, after which the connection ends. */
    static final class BadRequest extends IOException {
        private static final long serialVersionUID = 1;
        final int status;

        BadRequest(int status, String message) {
            super(message);
            this.status = status;
        }
    }

    private final Server server;
    private final SocketChannel channel;
    private byte[] in = new byte[8 << 10];
    private int at;
    private int end;
    private byte[] out = new byte[4 << 10];
    private int filled;
    private boolean busy;
    private boolean closed;

    Connection(Server server, SocketChannel channel) {
        this.server = server;
        this.channel = channel;
    }

    @Override
    public void run() {
        try {
            while (next()) {
                // one request
            }
        } catch (IOException e) {
            // the client is gone, or what it sent cannot be read on
        } finally {
            close();
            server.ended(this);
        }
    }

    /** Ends the connection when no request is on it. */
    synchronized void closeIfIdle() {
        if (!busy) {
            close();
        }
    }

    private synchronized boolean begin() {
        busy = !closed;
        return busy;
    }

    private synchronized void rest() {
        busy = false;
        if (server.draining()) {
            close();
        }
    }

    synchronized void close() {
        closed = true;
        try {
            channel.close();
        } catch (IOException e) {
            // it is gone all the same
        }
    }

    private boolean next() throws IOException {
        if (at == end && !fill() || !begin()) {
            return false;
        }
        Request request;
        try {
            request = head();
        } catch (BadRequest e) {
            refuse(e);
            return false;
        }
        Response response = new Response(this, request);
        server.handler().handle(request, response);
        boolean keep = response.finish();
        if (!keep) {
            linger(request.body);
            return false;
        }
        if (!request.body.drop(SKIP_MOST)) {
            linger(request.body);
            return false;
        }
        rest();
        return true;
    }

    private void refuse(BadRequest e) throws IOException {
        Request none = new Request("GET", "/", null, true, new Body(this));
        Response response = new Response(this, none);
        response.own(e.status, e.getMessage());
        response.endConnection();
        response.finish();
        linger(null);
    }

    /** Lets the client read the answer: a connection that is closed with something unread in it takes the answer with it. */
    private void linger(Body body) throws IOException {
        if (body != null && body.ended()) {
            return;
        }
        channel.shutdownOutput();
        for (long n = 0; n < LINGER_MOST && fill(); n += end) {
            at = end;
        }
    }

    /** Reads more when all was used. */
    private boolean fill() throws IOException {
        at = 0;
        end = Math.max(0, channel.read(ByteBuffer.wrap(in)));
        return end > 0;
    }

    private void more() throws IOException {
        if (at > 0) {
            System.arraycopy(in, at, in, 0, end - at);
            end -= at;
            at = 0;
        }
        if (end == in.length) {
            if (in.length >= HEAD_MOST) {
                throw new BadRequest(431, "the head of the request is larger than " + HEAD_MOST + " bytes");
            }
            in = java.util.Arrays.copyOf(in, in.length * 2);
        }
        int n = channel.read(ByteBuffer.wrap(in, end, in.length - end));
        if (n < 0) {
            throw new EOFException();
        }
        end += n;
    }

    /** The length of the line at the cursor without CR LF, after which it is in the buffer whole. */
    private int line() throws IOException {
        for (int i = 0;; i++) {
            while (at + i >= end) {
                more();
            }
            if (in[at + i] == '\n') {
                if (i == 0 || in[at + i - 1] != '\r') {
                    throw new BadRequest(400, "a line of the request does not end with CR LF");
                }
                return i - 1;
            }
        }
    }

    private String text(int from, int to) {
        return new String(in, from, to - from, StandardCharsets.ISO_8859_1);
    }

    private Request head() throws IOException {
        int n = line();
        if (n == 0) { // an empty line before a request is tolerated
            at += 2;
            n = line();
        }
        int method = at;
        while (method < at + n && in[method] != ' ') {
            method++;
        }
        int target = at + n - 9;
        if (method == at || target <= method || in[target] != ' ' || !"HTTP/1.".equals(text(target + 1, target + 8))) {
            throw new BadRequest(400, "the request line is not METHOD TARGET HTTP/1.1");
        }
        Body body = new Body(this);
        Request r = new Request(text(at, method), text(method + 1, target), server, in[target + 8] != '1', body);
        int size = n;
        for (at += n + 2; (n = line()) > 0; at += n + 2) {
            size += n + 2;
            if (size > HEAD_MOST) {
                throw new BadRequest(431, "the head of the request is larger than " + HEAD_MOST + " bytes");
            }
            header(r, at, at + n);
        }
        at += 2;
        r.frame(body);
        return r;
    }

    private void header(Request r, int from, int to) throws BadRequest {
        int colon = from;
        while (colon < to && in[colon] > ' ' && in[colon] != ':') {
            colon++;
        }
        if (colon == from || colon == to || in[colon] != ':') {
            throw new BadRequest(400, "a header of the request is not NAME: VALUE");
        }
        int begin = colon + 1;
        while (begin < to && (in[begin] == ' ' || in[begin] == '\t')) {
            begin++;
        }
        while (to > begin && (in[to - 1] == ' ' || in[to - 1] == '\t')) {
            to--;
        }
        r.add(text(from, colon), text(begin, to));
    }

    // What bodies read.

    int read(byte[] b, int offset, int length) throws IOException {
        if (at == end) {
            if (length >= in.length) {
                return channel.read(ByteBuffer.wrap(b, offset, Math.min(length, TRANSFER_MOST)));
            }
            if (!fill()) {
                return -1;
            }
        }
        int n = Math.min(length, end - at);
        System.arraycopy(in, at, b, offset, n);
        at += n;
        return n;
    }

    /** A line of the framing of a body. */
    String frameLine() throws IOException {
        int n = line();
        String s = text(at, at + n);
        at += n + 2;
        return s;
    }

    void sendContinue() throws IOException {
        send(CONTINUE, 0, CONTINUE.length);
    }

    // What responses write.

    void put(String s) {
        room(s.length());
        for (int i = 0; i < s.length(); i++) {
            out[filled++] = (byte) s.charAt(i);
        }
    }

    void put(byte[] b, int offset, int length) throws IOException {
        if (length > TRANSFER_MOST / 4) {
            flush();
            send(b, offset, length);
            return;
        }
        room(length);
        System.arraycopy(b, offset, out, filled, length);
        filled += length;
    }

    private void room(int n) {
        if (out.length - filled < n) {
            out = java.util.Arrays.copyOf(out, Math.max(out.length * 2, filled + n));
        }
    }

    void flush() throws IOException {
        send(out, 0, filled);
        filled = 0;
    }

    private void send(byte[] b, int offset, int length) throws IOException {
        for (int done = 0; done < length;) {
            ByteBuffer part = ByteBuffer.wrap(b, offset + done, Math.min(length - done, TRANSFER_MOST));
            done += channel.write(part);
        }
    }
}
