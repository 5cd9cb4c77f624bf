package dev.openfunction.functions;

import java.util.Map;

/** Runs before or after calls. Named in the context of the function by its class or, when it is a service of the class path, by its name. */
public interface Hook {
    String name();

    String version();

    /** Makes the hook of one call. */
    Hook init();

    /** Runs; an error is only logged. */
    Error execute(Context context);

    Boolean needToTracing();

    Map<String, String> tagsAddToTracing();
}
