package dev.openfunction.functions;

import java.nio.ByteBuffer;
import java.util.Map;

/** The event of an input binding. */
public class BindingEvent {
    private final String name;
    private final ByteBuffer data;
    private final Map<String, String> metadata;

    public BindingEvent(String name, Map<String, String> metadata, ByteBuffer data) {
        this.name = name;
        this.metadata = metadata;
        this.data = data;
    }

    public ByteBuffer getData() {
        return data;
    }

    public Map<String, String> getMetadata() {
        return metadata;
    }

    /** The name of the component. */
    public String getName() {
        return name;
    }
}
