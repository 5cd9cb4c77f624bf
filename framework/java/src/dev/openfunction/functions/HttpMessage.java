package dev.openfunction.functions;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What requests and their parts have in common. */
public interface HttpMessage {
    /** The value of the header Content-Type. */
    Optional<String> getContentType();

    /** The length of the body in bytes, or -1 when it is not known before it was read. */
    long getContentLength();

    /** The charset of the content type. */
    Optional<String> getCharacterEncoding();

    /** The body, which streams. */
    InputStream getInputStream() throws IOException;

    /** The body as text of its charset, or UTF-8. */
    BufferedReader getReader() throws IOException;

    /** All headers by name, in any case. Bytes above 0x7F are characters of the same number. */
    Map<String, List<String>> getHeaders();

    /** The first value of a header. */
    default Optional<String> getFirstHeader(String name) {
        List<String> values = getHeaders().get(name);
        return values == null || values.isEmpty() ? Optional.empty() : Optional.of(values.get(0));
    }
}
