package io.cloudevents;

/** The interfaces of CloudEvents for functions that bring no io.cloudevents:cloudevents-api of their own, which goes before these. */
public interface CloudEvent extends CloudEventContext {
    CloudEventData getData();
}
