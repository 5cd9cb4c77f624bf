package dev.openfunction.invoker;

/** A function as it is served: how it is called for a request. */
abstract class Served {
    /** A call that failed in the way of the function: an error that it returned, not one that it threw. */
    static final class Failed extends Exception {
        private static final long serialVersionUID = 1;
        final int status;

        Failed(int status, Throwable cause) {
            super(cause);
            this.status = status;
        }
    }

    final String name;
    final Object instance;
    final Routes.Route route;

    Served(String name, Object instance, Routes.Route route) {
        this.name = name;
        this.instance = instance;
        this.route = route;
    }

    /** Answers a request. What it throws is a failure of the call. */
    abstract void call(Request request, Response response) throws Throwable;
}
