package dev.openfunction.functions;

import java.nio.ByteBuffer;
import java.util.Map;

/** The event of a subscribed topic. */
public class TopicEvent {
    private final String name;
    private final String id;
    private final String topic;
    private final String specversion;
    private final String source;
    private final String type;
    private final String datacontenttype;
    private final ByteBuffer data;
    private final Map<String, String> extensions;

    public TopicEvent(String name, String id, String topic, String specversion, String source, String type, String datacontenttype,
            ByteBuffer data, Map<String, String> extensions) {
        this.name = name;
        this.id = id;
        this.topic = topic;
        this.specversion = specversion;
        this.source = source;
        this.type = type;
        this.datacontenttype = datacontenttype;
        this.data = data;
        this.extensions = extensions;
    }

    /** The name of the component. */
    public String getName() {
        return name;
    }

    public String getId() {
        return id;
    }

    public String getSpecversion() {
        return specversion;
    }

    public String getType() {
        return type;
    }

    public String getSource() {
        return source;
    }

    public String getDatacontenttype() {
        return datacontenttype;
    }

    public ByteBuffer getData() {
        return data;
    }

    public String getTopic() {
        return topic;
    }

    public Map<String, String> getExtensions() {
        return extensions;
    }
}
