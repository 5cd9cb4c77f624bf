package dev.openfunction.functions;

import io.cloudevents.CloudEvent;

/** A function that handles CloudEvents. One instance serves all calls, several at once. */
public interface CloudEventFunction {
    /**
     * Handles one event.
     *
     * @return null when all is well
     */
    Error accept(Context context, CloudEvent event) throws Exception;
}
