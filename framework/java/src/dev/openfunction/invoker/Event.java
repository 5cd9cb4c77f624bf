package dev.openfunction.invoker;

import io.cloudevents.CloudEvent;
import io.cloudevents.CloudEventData;
import io.cloudevents.SpecVersion;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** A CloudEvent: attributes as they were sent, and data as bytes. */
final class Event implements CloudEvent {
    private static final Set<String> OWN = Set.of("specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time");

    /** Strings, numbers and booleans, by name. */
    final Map<String, Object> attributes = new TreeMap<>();
    byte[] data;

    Event() {
        attributes.put("specversion", "1.0");
    }

    /** Takes a CloudEvent of any library. */
    static Event of(CloudEvent e) {
        if (e instanceof Event own) {
            return own;
        }
        Event c = new Event();
        for (String name : OWN) {
            Object v = name.equals("specversion") ? "1.0" : e.getAttribute(name);
            if (v != null) {
                c.attributes.put(name, v.toString());
            }
        }
        for (String name : e.getExtensionNames()) {
            Object v = e.getExtension(name);
            c.attributes.put(name, v instanceof Number || v instanceof Boolean ? v : String.valueOf(v));
        }
        c.data = e.getData() == null ? null : e.getData().toBytes();
        return c;
    }

    String text(String name) {
        Object v = attributes.get(name);
        return v == null ? null : v.toString();
    }

    /** The media type of the data in lower case, without parameters; empty without one. */
    String mediaType() {
        String t = text("datacontenttype");
        return t == null ? "" : t.split(";", 2)[0].trim().toLowerCase(java.util.Locale.ROOT);
    }

    @Override
    public SpecVersion getSpecVersion() {
        return SpecVersion.V1;
    }

    @Override
    public String getId() {
        return text("id");
    }

    @Override
    public String getType() {
        return text("type");
    }

    @Override
    public URI getSource() {
        return uri("source");
    }

    @Override
    public String getDataContentType() {
        return text("datacontenttype");
    }

    @Override
    public URI getDataSchema() {
        return uri("dataschema");
    }

    private URI uri(String name) {
        String v = text(name);
        if (v == null) {
            return null;
        }
        try {
            return new URI(v);
        } catch (URISyntaxException e) {
            try {
                return new URI(null, null, v, null); // with its odd characters encoded
            } catch (URISyntaxException impossible) {
                throw new IllegalStateException("the attribute " + name + " is no URI: " + v, impossible);
            }
        }
    }

    @Override
    public String getSubject() {
        return text("subject");
    }

    @Override
    public OffsetDateTime getTime() {
        return text("time") == null ? null : OffsetDateTime.parse(text("time"));
    }

    @Override
    public Object getAttribute(String name) {
        return switch (name) {
            case "specversion" -> getSpecVersion();
            case "id" -> getId();
            case "source" -> getSource();
            case "type" -> getType();
            case "datacontenttype" -> getDataContentType();
            case "dataschema" -> getDataSchema();
            case "subject" -> getSubject();
            case "time" -> getTime();
            default -> throw new IllegalArgumentException("CloudEvents have no attribute " + name);
        };
    }

    @Override
    public Set<String> getAttributeNames() {
        Set<String> names = new LinkedHashSet<>(attributes.keySet());
        names.retainAll(OWN);
        return names;
    }

    @Override
    public Object getExtension(String name) {
        return OWN.contains(name) ? null : attributes.get(name);
    }

    @Override
    public Set<String> getExtensionNames() {
        Set<String> names = new LinkedHashSet<>(attributes.keySet());
        names.removeAll(OWN);
        return names;
    }

    @Override
    public CloudEventData getData() {
        return data == null ? null : new Bytes(data);
    }

    private record Bytes(byte[] data) implements CloudEventData {
        @Override
        public byte[] toBytes() {
            return data;
        }
    }

    /** The JSON form of the contract. */
    Map<String, Object> json() {
        Map<String, Object> m = new LinkedHashMap<>();
        for (String name : new String[] {"specversion", "id", "source", "type"}) {
            m.put(name, attributes.get(name));
        }
        attributes.forEach(m::putIfAbsent);
        if (data == null) {
            return m;
        }
        String type = mediaType();
        if (Text.isJson(type)) {
            try {
                m.put("data", Json.parse(data));
                return m;
            } catch (Json.Wrong e) {
                // it only says that it is JSON
            }
        }
        String text = type.startsWith("text/") ? Text.utf8(data) : null;
        if (text != null) {
            m.put("data", text);
        } else {
            m.put("data_base64", Base64.getEncoder().encodeToString(data));
        }
        return m;
    }

    /** Makes this event an answer in binary mode. */
    void answer(Response response) {
        attributes.forEach((name, value) -> {
            if (name.equals("datacontenttype")) {
                response.setContentType(value.toString());
            } else {
                response.header("ce-" + name, Percent.encode(value.toString()));
            }
        });
        if (data != null) {
            response.keep(data);
        }
    }

    @Override
    public String toString() {
        return "CloudEvent" + attributes + (data == null ? "" : " " + new String(data, StandardCharsets.UTF_8));
    }
}
