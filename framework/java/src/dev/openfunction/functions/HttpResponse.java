package dev.openfunction.functions;

import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The answer to a call. Status and headers are sent with the first bytes that are flushed, or at the end. */
public interface HttpResponse {
    void setStatusCode(int code);

    int getStatusCode();

    /** Sets status and reason. */
    void setStatusCode(int code, String message);

    void setContentType(String contentType);

    Optional<String> getContentType();

    /** Adds a value to a header. */
    void appendHeader(String header, String value);

    Map<String, List<String>> getHeaders();

    /** The body. What was flushed is sent at once. */
    OutputStream getOutputStream() throws IOException;

    /** The body as text of the charset of the content type, or UTF-8. */
    BufferedWriter getWriter() throws IOException;
}
