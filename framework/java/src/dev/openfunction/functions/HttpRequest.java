package dev.openfunction.functions;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The request of a call. */
public interface HttpRequest extends HttpMessage {
    String getMethod();

    /** The whole address, such as {@code http://host/path?query}. */
    String getUri();

    /** The path as it was sent, not decoded. */
    String getPath();

    /** The query as it was sent, without the question mark. */
    Optional<String> getQuery();

    /** The decoded parameters of the query. */
    Map<String, List<String>> getQueryParameters();

    /** The first value of a parameter of the query. */
    default Optional<String> getFirstQueryParameter(String name) {
        List<String> values = getQueryParameters().get(name);
        return values == null || values.isEmpty() ? Optional.empty() : Optional.of(values.get(0));
    }

    /** A part of a form. */
    interface HttpPart extends HttpMessage {
        Optional<String> getFileName();
    }

    /** The parts of a {@code multipart/form-data} body by their names; the body is read whole. */
    Map<String, HttpPart> getParts();

    /** The variables of the path that the function is served at, by name. */
    default Map<String, String> getPathVariables() {
        return Map.of();
    }

    /** How long the caller still waits. */
    default Optional<Duration> getTimeRemaining() {
        return Optional.empty();
    }
}
