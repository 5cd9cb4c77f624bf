package io.cloudevents;

import java.net.URI;
import java.time.OffsetDateTime;
import java.util.Set;

public interface CloudEventAttributes {
    SpecVersion getSpecVersion();

    String getId();

    String getType();

    URI getSource();

    String getDataContentType();

    URI getDataSchema();

    String getSubject();

    OffsetDateTime getTime();

    /** An attribute of the specification by name; another name is an IllegalArgumentException. */
    Object getAttribute(String name);

    default Set<String> getAttributeNames() {
        return getSpecVersion().getAllAttributes();
    }
}
