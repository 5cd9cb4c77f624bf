package dev.openfunction.invoker;

/** Why the process cannot start: what is wrong, where, and what to do. Its cause is shown with a stack where user code is to blame. */
final class StartError extends Exception {
    private static final long serialVersionUID = 1;

    StartError(String message) {
        super(message);
    }

    StartError(String message, Throwable cause) {
        super(message, cause);
    }
}
