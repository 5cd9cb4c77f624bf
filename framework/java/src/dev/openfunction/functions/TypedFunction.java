package dev.openfunction.functions;

/**
 * A function from one value to another. The body is JSON, converted to {@code I}: a record, a class with a constructor without parameters, a map,
 * a list or a simple value; the result is answered as JSON, null as 204. Where {@code I} is CloudEvent the function handles events, and a
 * CloudEvent that it returns is the answer. A {@link java.util.function.Function} is served alike.
 */
public interface TypedFunction<I, O> {
    /** Handles one call. */
    O apply(I input) throws Exception;
}
