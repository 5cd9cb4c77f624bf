package dev.openfunction.invoker;

import dev.openfunction.functions.BindingEvent;
import dev.openfunction.functions.Component;
import dev.openfunction.functions.Out;
import dev.openfunction.functions.TopicEvent;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.net.URLEncoder;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** Dapr: the app channel by which events of inputs arrive, and the sending to outputs. */
@SuppressWarnings("deprecation") // uri, which old contexts have
final class Dapr {
    private static final int PATIENCE_MILLIS = 30_000;

    private final Settings settings;
    private final Calls calls;
    private final OpenServed function;

    Dapr(Settings settings, Calls calls, OpenServed function) {
        this.settings = settings;
        this.calls = calls;
        this.function = function;
    }

    /** Answers what belongs to the app channel; false when the request is another's. */
    boolean handles(Request request, Response response, Dispatcher dispatcher) throws IOException {
        if (request.getMethod().equals("GET") && request.getPath().equals("/dapr/subscribe")) {
            subscriptions(response);
            return true;
        }
        for (String name : settings.context.triggers) {
            Component c = settings.context.inputs.get(name);
            if (c.isBinding() && request.getPath().equals("/" + c.getComponentName())) {
                if (request.getMethod().equals("OPTIONS")) {
                    return true;
                }
                if (request.getMethod().equals("POST")) {
                    binding(name, c, request, response, dispatcher);
                    return true;
                }
            }
            if (c.isPubsub() && request.getPath().equals("/" + c.getTopic()) && request.getMethod().equals("POST") && Events.mode(request) == Events.Mode.STRUCTURED) {
                topic(name, c, request, response, dispatcher);
                return true;
            }
        }
        return false;
    }

    private void subscriptions(Response response) {
        List<Object> list = new ArrayList<>();
        for (String name : new TreeSet<>(settings.context.triggers)) {
            Component c = settings.context.inputs.get(name);
            if (c.isPubsub()) {
                Map<String, Object> s = new LinkedHashMap<>();
                s.put("pubsubname", c.getComponentName());
                s.put("topic", c.getTopic());
                s.put("route", "/" + c.getTopic());
                if (c.getMetadata() != null && !c.getMetadata().isEmpty()) {
                    s.put("metadata", c.getMetadata());
                }
                if (c.getDeadLetterTopic() != null && !c.getDeadLetterTopic().isEmpty()) {
                    s.put("deadLetterTopic", c.getDeadLetterTopic());
                }
                list.add(s);
            }
        }
        response.setContentType("application/json");
        response.keep(Json.write(list).getBytes(StandardCharsets.UTF_8));
    }

    private void binding(String input, Component c, Request request, Response response, Dispatcher dispatcher) throws IOException {
        Map<String, String> metadata = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        request.getHeaders().forEach((k, v) -> metadata.put(k, v.get(0)));
        Out[] out = new Out[1];
        boolean well = dispatcher.call(call(request, context -> {
            byte[] data = request.whole(settings.maxBody);
            context.binding(new BindingEvent(input, metadata, ByteBuffer.wrap(data)));
            out[0] = function.run(context, data);
        }), request, response);
        if (response.getStatusCode() == 413) {
            return;
        }
        if (!well || failed(out[0])) {
            response.own(500, "the function failed");
            return;
        }
        if (out[0] != null && out[0].getData() != null) {
            byte[] data = OpenServed.bytes(out[0].getData());
            response.setContentType(Text.typeOf(data));
            response.keep(data);
        }
    }

    private void topic(String input, Component c, Request request, Response response, Dispatcher dispatcher) throws IOException {
        Event e;
        try {
            e = Events.structured(request.whole(settings.maxBody));
        } catch (Events.Invalid wrong) {
            status(response, "DROP");
            return;
        }
        byte[] data = e.data == null ? new byte[0] : e.data;
        Map<String, String> extensions = new LinkedHashMap<>();
        e.getExtensionNames().forEach(n -> extensions.put(n, e.text(n)));
        Out[] out = new Out[1];
        boolean well = dispatcher.call(call(request, context -> {
            context.event(e);
            context.topic(new TopicEvent(input, e.getId(), c.getTopic(), "1.0", e.text("source"), e.getType(), e.getDataContentType(),
                    ByteBuffer.wrap(data), extensions));
            out[0] = function.run(context, data);
        }), request, response);
        boolean again = out[0] != null && out[0].getMetadata() != null && "true".equals(out[0].getMetadata().get("retry"));
        status(response, well && !failed(out[0]) ? "SUCCESS" : again ? "RETRY" : "DROP");
    }

    private interface Run {
        void run(CallContext context) throws Exception;
    }

    private Served call(Request request, Run run) {
        return new Served(function.name, function.instance, function.route) {
            @Override
            void call(Request q, Response r) throws Throwable {
                run.run(calls.context(name, q, r));
            }
        };
    }

    private boolean failed(Out out) {
        return out != null && (out.getError() != null || out.getCode() >= 500 || out.getCode() != 0 && out.getCode() < 200);
    }

    private static void status(Response response, String text) {
        response.reset();
        response.setContentType("application/json");
        response.keep(("{\"status\":\"" + text + "\"}\n").getBytes(StandardCharsets.UTF_8));
    }

    /** Sends data to an output with the headers of a trace; what goes wrong is returned. */
    static Error send(Settings settings, String output, String data, Map<String, String> trace) {
        Component c = settings.context.outputs.get(output);
        if (c == null) {
            return new Error("there is no output " + output + ": there are " + settings.context.outputs.keySet());
        }
        if (settings.get("TEST_MODE").equals("on")) {
            return null;
        }
        try {
            post(settings, c, data, trace);
            return null;
        } catch (IOException e) {
            return new Error("sending to the output " + output + ": " + e.getMessage(), e);
        }
    }

    private static void post(Settings settings, Component c, String data, Map<String, String> trace) throws IOException {
        String host = settings.get("DAPR_HOST").isEmpty() ? "127.0.0.1" : settings.get("DAPR_HOST");
        String port = settings.get("DAPR_HTTP_PORT").isEmpty() ? "3500" : settings.get("DAPR_HTTP_PORT");
        StringBuilder url = new StringBuilder("http://").append(host).append(':').append(port).append("/v1.0/");
        Object value = data;
        boolean json = true;
        try {
            value = Json.parse(data);
        } catch (Json.Wrong e) {
            json = false;
        }
        String type = "application/json";
        byte[] body;
        if (c.isPubsub()) {
            url.append("publish/").append(part(c.getComponentName())).append('/').append(part(c.getTopic() == null ? c.getUri() : c.getTopic()));
            char sign = '?';
            for (Map.Entry<String, String> m : c.getMetadata().entrySet()) {
                url.append(sign).append("metadata.").append(part(m.getKey())).append('=').append(part(m.getValue()));
                sign = '&';
            }
            type = json ? type : "text/plain; charset=utf-8";
            body = data.getBytes(StandardCharsets.UTF_8);
        } else {
            url.append("bindings/").append(part(c.getComponentName()));
            Map<String, Object> m = new LinkedHashMap<>();
            m.put("operation", c.getOperation() == null ? "create" : c.getOperation());
            m.put("metadata", c.getMetadata());
            m.put("data", value);
            body = Json.write(m).getBytes(StandardCharsets.UTF_8);
        }
        Map<String, String> headers = new LinkedHashMap<>(trace);
        headers.put("Content-Type", type);
        exchange(settings, url.toString(), headers, body);
    }

    private static String part(String s) {
        return URLEncoder.encode(s, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private static void exchange(Settings settings, String url, Map<String, String> headers, byte[] body) throws IOException {
        HttpURLConnection c = (HttpURLConnection) new URL(url).openConnection(java.net.Proxy.NO_PROXY);
        c.setConnectTimeout(PATIENCE_MILLIS);
        c.setReadTimeout(PATIENCE_MILLIS);
        c.setRequestMethod("POST");
        headers.forEach(c::setRequestProperty);
        if (!settings.get("DAPR_API_TOKEN").isEmpty()) {
            c.setRequestProperty("dapr-api-token", settings.get("DAPR_API_TOKEN"));
        }
        c.setDoOutput(true);
        c.getOutputStream().write(body);
        int status = c.getResponseCode();
        try (InputStream in = status < 400 ? c.getInputStream() : c.getErrorStream()) {
            byte[] said = in == null ? new byte[0] : in.readNBytes(4096);
            if (status >= 300) {
                throw new IOException("Dapr answered " + status + " " + new String(said, StandardCharsets.UTF_8));
            }
        }
    }
}
