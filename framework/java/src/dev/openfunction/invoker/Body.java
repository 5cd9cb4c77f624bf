package dev.openfunction.invoker;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;

/** The body of a request, as it arrives. */
final class Body extends InputStream {
    private final Connection connection;
    /** What is left of the body, or of the chunk. */
    private long left;
    private boolean chunked;
    private boolean first;
    private boolean ended = true;
    private boolean expectsContinue;

    Body(Connection connection) {
        this.connection = connection;
    }

    void fixed(long length, boolean expectsContinue) {
        left = length;
        ended = length == 0;
        this.expectsContinue = expectsContinue && !ended;
    }

    void chunked(boolean expectsContinue) {
        chunked = true;
        first = true;
        ended = false;
        this.expectsContinue = expectsContinue;
    }

    /** Was it read to its end? */
    boolean ended() {
        return ended;
    }

    /** Does the client still wait for leave to send it? Then it may never come. */
    boolean withheld() {
        return expectsContinue;
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
    }

    @Override
    public int read(byte[] b, int offset, int length) throws IOException {
        java.util.Objects.checkFromIndexSize(offset, length, b.length);
        if (length == 0) {
            return 0;
        }
        if (ended) {
            return -1;
        }
        if (expectsContinue) {
            expectsContinue = false;
            connection.sendContinue();
        }
        if (chunked && left == 0 && !chunk()) {
            return -1;
        }
        int n = connection.read(b, offset, (int) Math.min(length, left));
        if (n < 0) {
            throw new EOFException("the client went away before it had sent the whole body");
        }
        left -= n;
        ended = !chunked && left == 0;
        return n;
    }

    /** Begins the next chunk; false at the end. */
    private boolean chunk() throws IOException {
        if (!first && !connection.frameLine().isEmpty()) {
            throw new IOException("a chunk of the body is longer than it says");
        }
        first = false;
        String line = connection.frameLine();
        int semicolon = line.indexOf(';');
        String size = (semicolon < 0 ? line : line.substring(0, semicolon)).trim();
        if (size.isEmpty() || size.length() > 15 || size.charAt(0) == '+' || size.charAt(0) == '-') {
            throw new IOException("the size of a chunk of the body cannot be read");
        }
        try {
            left = Long.parseLong(size, 16);
        } catch (NumberFormatException e) {
            throw new IOException("the size of a chunk of the body cannot be read", e);
        }
        if (left > 0) {
            return true;
        }
        for (int i = 0; !connection.frameLine().isEmpty(); i++) { // trailers, which nobody reads
            if (i > 100) {
                throw new IOException("the body has too many trailers");
            }
        }
        ended = true;
        return false;
    }

    /** Reads what is left, at most so much; false when more is left or will never come. */
    boolean drop(long most) throws IOException {
        if (ended) {
            return true;
        }
        if (expectsContinue || !chunked && left > most) {
            return false;
        }
        byte[] rest = new byte[8 << 10];
        for (long n = 0; n <= most;) {
            int got = read(rest, 0, rest.length);
            if (got < 0) {
                return true;
            }
            n += got;
        }
        return ended;
    }
}
