package dev.openfunction.invoker;

import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/** Reads CloudEvents of requests, in binary, structured and batched mode, and says what is wrong with them. */
final class Events {
    private static final String NONE = "the request is not a CloudEvent: send the ce- headers, or the content type application/cloudevents+json or "
            + "application/cloudevents-batch+json";

    /** The request is no valid event: how it is answered. */
    static final class Invalid extends Exception {
        private static final long serialVersionUID = 1;
        final int status;
        final String[] headers;

        Invalid(int status, String message, String... headers) {
            super(message, null, false, false);
            this.status = status;
            this.headers = headers;
        }
    }

    /** How a request carries events. */
    enum Mode {
        NONE,
        OTHER,
        BINARY,
        STRUCTURED,
        BATCH
    }

    private Events() {}

    static Mode mode(Request r) {
        String type = r.header("Content-Type");
        type = type == null ? "" : type.toLowerCase(Locale.ROOT);
        if (type.startsWith("application/cloudevents-batch+json")) {
            return Mode.BATCH;
        }
        if (type.startsWith("application/cloudevents+json")) {
            return Mode.STRUCTURED;
        }
        if (type.startsWith("application/cloudevents")) {
            return Mode.OTHER;
        }
        return r.header("ce-specversion") != null ? Mode.BINARY : Mode.NONE;
    }

    static void checkMethod(Request r) throws Invalid {
        switch (r.getMethod()) {
            case "PATCH", "POST", "PUT" -> {}
            default -> throw new Invalid(405, "CloudEvents are sent with POST", "Allow", "PATCH, POST, PUT");
        }
    }

    static Invalid none() {
        return new Invalid(415, NONE);
    }

    static Event binary(Request r, byte[] body) throws Invalid {
        Map<String, Object> given = new TreeMap<>();
        List<String> headers = r.headers();
        for (int i = 0; i < headers.size(); i += 2) {
            String name = headers.get(i).toLowerCase(Locale.ROOT);
            if (name.startsWith("ce-") && isName(name.substring(3)) && !name.equals("ce-datacontenttype")) {
                given.putIfAbsent(name.substring(3), Percent.decode(headers.get(i + 1)));
            }
        }
        Event e = event(given, "the CloudEvent");
        String type = r.header("Content-Type");
        if (type != null) {
            e.attributes.put("datacontenttype", type);
        }
        e.data = body.length == 0 ? null : body;
        return e;
    }

    static Event structured(byte[] body) throws Invalid {
        try {
            return object(Json.parse(body), "the CloudEvent");
        } catch (Json.Wrong e) {
            throw new Invalid(400, "the CloudEvent is not a JSON object: " + e.getMessage());
        }
    }

    static List<Event> batch(byte[] body) throws Invalid {
        Object v;
        try {
            v = Json.parse(body);
        } catch (Json.Wrong e) {
            throw new Invalid(400, "the batch is not a JSON array of CloudEvents: " + e.getMessage());
        }
        if (!(v instanceof List<?> l)) {
            throw new Invalid(400, "the batch is not a JSON array of CloudEvents: it is something else");
        }
        List<Event> events = new ArrayList<>();
        for (Object e : l) {
            events.add(object(e, "CloudEvent " + (events.size() + 1) + " of " + l.size()));
        }
        return events;
    }

    static Event object(Object v, String subject) throws Invalid {
        if (!(v instanceof Map<?, ?> any)) {
            throw new Invalid(400, subject + " is not a JSON object: it is something else");
        }
        Map<String, Object> given = new TreeMap<>(FunctionContext.cast(any));
        boolean hasData = given.containsKey("data") && given.get("data") != null;
        boolean hasBytes = given.containsKey("data_base64") && given.get("data_base64") != null;
        Object data = given.remove("data");
        Object bytes = given.remove("data_base64");
        given.values().removeIf(java.util.Objects::isNull);
        Event e = event(given, subject);
        if (hasData && hasBytes) {
            throw new Invalid(400, subject + " has invalid data");
        }
        if (hasBytes) {
            e.data = base64(bytes, subject);
        } else if (hasData) {
            if (e.text("datacontenttype") == null) {
                e.attributes.put("datacontenttype", "application/json");
            }
            boolean text = data instanceof String && !Text.isJson(e.mediaType());
            e.data = (text ? (String) data : Json.write(data)).getBytes(StandardCharsets.UTF_8);
        }
        return e;
    }

    private static byte[] base64(Object v, String subject) throws Invalid {
        try {
            if (v instanceof String s) {
                return Base64.getDecoder().decode(s);
            }
        } catch (IllegalArgumentException e) {
            // told below
        }
        throw new Invalid(400, subject + " has invalid data");
    }

    /** Checks attributes in the order of the contract. */
    private static Event event(Map<String, Object> given, String subject) throws Invalid {
        for (String name : new String[] {"specversion", "id", "source", "type"}) {
            Object v = given.get(name);
            if (v == null || "".equals(v)) {
                throw new Invalid(400, subject + " lacks the attribute " + name);
            }
        }
        if (!"1.0".equals(given.get("specversion"))) {
            throw new Invalid(400, subject + " has the specversion \"" + given.get("specversion") + "\", but 1.0 is needed");
        }
        Event e = new Event();
        for (Map.Entry<String, Object> a : given.entrySet()) {
            Object v = a.getValue();
            boolean simple = v instanceof String || v instanceof Number || v instanceof Boolean;
            if (!simple || !isName(a.getKey()) || a.getKey().equals("time") && !isTime(v.toString())) {
                throw new Invalid(400, subject + " has an invalid attribute " + a.getKey());
            }
            e.attributes.put(a.getKey(), v);
        }
        return e;
    }

    private static boolean isName(String s) {
        return !s.isEmpty() && s.chars().allMatch(c -> c >= 'a' && c <= 'z' || c >= '0' && c <= '9');
    }

    private static boolean isTime(String s) {
        if (s.length() < 20 || s.charAt(16) != ':' || s.charAt(4) != '-') {
            return false;
        }
        try {
            OffsetDateTime.parse(s);
            return true;
        } catch (DateTimeException e) {
            return false;
        }
    }
}
