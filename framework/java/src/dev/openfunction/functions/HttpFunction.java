package dev.openfunction.functions;

/** A function that answers HTTP requests. One instance serves all calls, several at once. */
public interface HttpFunction {
    /**
     * Handles one request.
     *
     * @throws Exception answered with 500; the client learns an error id, the log the cause
     */
    void service(HttpRequest request, HttpResponse response) throws Exception;
}
