package dev.openfunction.invoker;

import dev.openfunction.functions.HttpFunction;

/** An http function. */
final class HttpServed extends Served {
    private final HttpFunction function;
    private final Calls calls;

    HttpServed(String name, HttpFunction function, Routes.Route route, Calls calls) {
        super(name, function, route);
        this.function = function;
        this.calls = calls;
    }

    @Override
    void call(Request request, Response response) throws Throwable {
        if (calls.plain()) {
            function.service(request, response);
            return;
        }
        CallContext context = calls.context(name, request, response);
        calls.around(context, () -> function.service(request, response));
    }
}
