package dev.openfunction.functions;

import java.util.Map;

/** An input, output or state of a function: a component of Dapr. */
public class Component {
    @Deprecated private String uri;
    private String topic;
    private String componentName;
    private String componentType;
    private Map<String, String> metadata;
    private String operation;
    private String deadLetterTopic;

    /** What to call it by: its uri, else its topic, else the name of the component. */
    @Deprecated
    public String getUri() {
        return first(uri, topic, componentName);
    }

    @Deprecated
    public void setUri(String uri) {
        this.uri = uri;
    }

    public String getComponentName() {
        return componentName;
    }

    public void setComponentName(String componentName) {
        this.componentName = componentName;
    }

    /** Such as {@code pubsub.redis} or {@code bindings.kafka}. */
    public String getComponentType() {
        return componentType;
    }

    public void setComponentType(String componentType) {
        this.componentType = componentType;
    }

    public Map<String, String> getMetadata() {
        return metadata;
    }

    public void setMetadata(Map<String, String> metadata) {
        this.metadata = metadata;
    }

    public String getOperation() {
        return operation;
    }

    public void setOperation(String operation) {
        this.operation = operation;
    }

    /** The topic, in old contexts the uri; null when there is none. */
    public String getTopic() {
        String named = uri == null || uri.equals(componentName) ? null : uri;
        return first(topic, named, null);
    }

    public void setTopic(String topic) {
        this.topic = topic;
    }

    /** The topic of the same component that gets what the function does not handle; null when there is none. */
    public String getDeadLetterTopic() {
        return deadLetterTopic;
    }

    public void setDeadLetterTopic(String deadLetterTopic) {
        this.deadLetterTopic = deadLetterTopic;
    }

    public boolean isPubsub() {
        return componentType != null && componentType.startsWith("pubsub");
    }

    public boolean isBinding() {
        return componentType != null && componentType.startsWith("bindings");
    }

    private static String first(String a, String b, String otherwise) {
        if (a != null && !a.isBlank()) {
            return a;
        }
        return b != null && !b.isBlank() ? b : otherwise;
    }
}
