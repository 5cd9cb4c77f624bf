package dev.openfunction.functions;

import io.cloudevents.CloudEvent;
import io.dapr.client.DaprClient;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import org.apache.eventmesh.client.grpc.producer.EventMeshGrpcProducer;

/** What a function knows of the call that it handles. Every call has one of its own. */
public interface Context {
    /**
     * Sends data to an output, a binding or a topic.
     *
     * @return null when it was sent
     * @deprecated kept for functions that use it
     */
    @Deprecated
    Error send(String outputName, String data);

    /** The request, or null where an event called. */
    HttpRequest getHttpRequest();

    HttpResponse getHttpResponse();

    /** The event of an input binding, or null. */
    BindingEvent getBindingEvent();

    /** The event of a subscribed topic, or null. */
    TopicEvent getTopicEvent();

    /** The CloudEvent of the call, or null. */
    CloudEvent getCloudEvent();

    /** The name of the function. */
    String getName();

    /** What the function returned, for hooks after it. */
    Out getOut();

    String getHttpPattern();

    Map<String, Component> getInputs();

    Map<String, Component> getOutputs();

    Map<String, Component> getStates();

    /** Dapr's own client, when the function depends on io.dapr:dapr-sdk; otherwise null. */
    DaprClient getDaprClient();

    /** Always null: EventMesh is not served. */
    EventMeshGrpcProducer getEventMeshProducer();

    /** A CloudEvent in structured form whose data is the payload. */
    byte[] packageAsCloudevent(String payload);

    /** The id of the request, which is in every log line of the call. */
    default String getRequestId() {
        return "";
    }

    /** How long the caller still waits. */
    default Optional<Duration> getTimeRemaining() {
        return Optional.empty();
    }
}
