package io.cloudevents;

import java.util.Set;

public interface CloudEventExtensions {
    Object getExtension(String name);

    Set<String> getExtensionNames();
}
