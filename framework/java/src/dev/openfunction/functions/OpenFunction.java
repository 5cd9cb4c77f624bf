package dev.openfunction.functions;

/** A function of OpenFunction's own signature, called by HTTP and by the events of its inputs. */
public interface OpenFunction {
    /**
     * Handles one call.
     *
     * @param payload the data of the CloudEvent or the body, as UTF-8 text; bytes are in the request, binding or topic event of the context
     * @return code and data of the answer; null is 200 without data
     */
    Out accept(Context context, String payload) throws Exception;
}
