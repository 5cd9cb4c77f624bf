package dev.openfunction.invoker;

import dev.openfunction.functions.BindingEvent;
import dev.openfunction.functions.Component;
import dev.openfunction.functions.Context;
import dev.openfunction.functions.HttpRequest;
import dev.openfunction.functions.HttpResponse;
import dev.openfunction.functions.Out;
import dev.openfunction.functions.TopicEvent;
import io.cloudevents.CloudEvent;
import io.dapr.client.DaprClient;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.apache.eventmesh.client.grpc.producer.EventMeshGrpcProducer;

/** The context of one call. */
final class CallContext implements Context {
    private static final class Client {
        /** Made on first use; null where the function does not bring Dapr's client. */
        static final Object INSTANCE = make();

        private static Object make() {
            try {
                Object builder = Class.forName("io.dapr.client.DaprClientBuilder").getDeclaredConstructor().newInstance();
                return builder.getClass().getMethod("build").invoke(builder);
            } catch (ReflectiveOperationException | LinkageError e) {
                return null;
            }
        }
    }

    private static final List<String> TRACE = List.of("traceparent", "tracestate", "baggage");

    private final Settings settings;
    private final String function;
    private final Request request;
    private final Response response;
    private CloudEvent event;
    private BindingEvent binding;
    private TopicEvent topic;
    private Out out;

    CallContext(Settings settings, String function, Request request, Response response) {
        this.settings = settings;
        this.function = function;
        this.request = request;
        this.response = response;
    }

    void event(CloudEvent e) {
        event = e;
    }

    void binding(BindingEvent e) {
        binding = e;
    }

    void topic(TopicEvent e) {
        topic = e;
    }

    void out(Out o) {
        out = o;
    }

    String function() {
        return function;
    }

    @Override
    @Deprecated
    public Error send(String outputName, String data) {
        return Dapr.send(settings, outputName, data, trace());
    }

    /** The trace headers of the call: those of its request, otherwise the extensions of its event. */
    private Map<String, String> trace() {
        Map<String, String> trace = new LinkedHashMap<>();
        for (String name : TRACE) {
            request.getFirstHeader(name).filter(v -> !v.isEmpty()).ifPresent(v -> trace.put(name, v));
        }
        if (!trace.containsKey("traceparent") && event != null) {
            for (String name : TRACE) {
                if (event.getExtension(name) != null) {
                    trace.put(name, String.valueOf(event.getExtension(name)));
                }
            }
        }
        return trace;
    }

    @Override
    public HttpRequest getHttpRequest() {
        return binding == null && topic == null ? request : null;
    }

    @Override
    public HttpResponse getHttpResponse() {
        return binding == null && topic == null ? response : null;
    }

    @Override
    public BindingEvent getBindingEvent() {
        return binding;
    }

    @Override
    public TopicEvent getTopicEvent() {
        return topic;
    }

    @Override
    public CloudEvent getCloudEvent() {
        return event;
    }

    @Override
    public String getName() {
        return settings.context.name.isEmpty() ? function : settings.context.name;
    }

    @Override
    public Out getOut() {
        return out;
    }

    @Override
    public String getHttpPattern() {
        return settings.context.httpPattern;
    }

    @Override
    public Map<String, Component> getInputs() {
        return Collections.unmodifiableMap(settings.context.inputs);
    }

    @Override
    public Map<String, Component> getOutputs() {
        return Collections.unmodifiableMap(settings.context.outputs);
    }

    @Override
    public Map<String, Component> getStates() {
        return Collections.unmodifiableMap(settings.context.states);
    }

    @Override
    public DaprClient getDaprClient() {
        return (DaprClient) Client.INSTANCE;
    }

    @Override
    public EventMeshGrpcProducer getEventMeshProducer() {
        return null;
    }

    @Override
    public byte[] packageAsCloudevent(String payload) {
        Event e = new Event();
        e.attributes.put("id", UUID.randomUUID().toString());
        e.attributes.put("source", "openfunction/" + getName());
        e.attributes.put("type", "dapr.invoke");
        e.attributes.put("datacontenttype", "application/json");
        e.data = payload.getBytes(StandardCharsets.UTF_8);
        try {
            Json.parse(payload);
        } catch (Json.Wrong notJson) {
            e.attributes.put("datacontenttype", "text/plain");
        }
        return Json.write(e.json()).getBytes(StandardCharsets.UTF_8);
    }

    @Override
    public String getRequestId() {
        return request.id();
    }

    @Override
    public Optional<Duration> getTimeRemaining() {
        return request.getTimeRemaining();
    }
}
