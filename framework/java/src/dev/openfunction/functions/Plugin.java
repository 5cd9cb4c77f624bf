package dev.openfunction.functions;

import java.util.Map;

/**
 * Runs before and after calls.
 *
 * @deprecated use {@link Hook}
 */
@Deprecated
public interface Plugin {
    String name();

    String version();

    /** Makes the plugin of one call. */
    Plugin init();

    Error execPreHook(Context context);

    Error execPostHook(Context context);

    Object getField(String fieldName);

    // Early versions of the interface did not have the rest.

    default Boolean needToTracing() {
        return false;
    }

    default Map<String, String> tagsAddToTracing() {
        return null;
    }
}
