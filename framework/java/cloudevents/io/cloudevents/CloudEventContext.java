package io.cloudevents;

public interface CloudEventContext extends CloudEventAttributes, CloudEventExtensions {}
