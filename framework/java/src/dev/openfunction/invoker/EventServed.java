package dev.openfunction.invoker;

import dev.openfunction.functions.CloudEventFunction;
import dev.openfunction.functions.Context;
import io.cloudevents.CloudEvent;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/** A function that handles CloudEvents. */
final class EventServed extends Served {
    /** What is called for an event: the event that it returns is the answer. */
    interface Handler {
        CloudEvent handle(Context context, CloudEvent event) throws Exception;
    }

    private final Handler handler;
    private final Calls calls;
    private final int maxBody;

    EventServed(String name, Object instance, Handler handler, Routes.Route route, Calls calls, int maxBody) {
        super(name, instance, route);
        this.handler = handler;
        this.calls = calls;
        this.maxBody = maxBody;
    }

    static Handler of(CloudEventFunction function) {
        return (context, event) -> {
            Error error = function.accept(context, event);
            if (error != null) {
                throw new Failed(500, error);
            }
            return null;
        };
    }

    @Override
    void call(Request request, Response response) throws Throwable {
        try {
            Events.checkMethod(request);
            switch (Events.mode(request)) {
                case BINARY -> one(request, response, Events.binary(request, request.whole(maxBody)));
                case STRUCTURED -> one(request, response, Events.structured(request.whole(maxBody)));
                case BATCH -> batch(request, response, Events.batch(request.whole(maxBody)));
                default -> throw Events.none();
            }
        } catch (Events.Invalid e) {
            response.own(e.status, e.getMessage(), e.headers);
        }
    }

    private void one(Request request, Response response, Event event) throws Exception {
        Event made = handle(request, response, event);
        if (made != null) {
            made.answer(response);
        }
    }

    private Event handle(Request request, Response response, Event event) throws Exception {
        CallContext context = calls.context(name, request, response);
        context.event(event);
        CloudEvent[] made = new CloudEvent[1];
        calls.around(context, () -> made[0] = handler.handle(context, event));
        return made[0] == null ? null : completed(Event.of(made[0]), event);
    }

    private Event completed(Event made, Event handled) {
        made.attributes.putIfAbsent("id", UUID.randomUUID().toString());
        made.attributes.putIfAbsent("source", "/" + name);
        made.attributes.putIfAbsent("type", handled.getType());
        return made;
    }

    /** Handles all events in their order; the first of the worst answers is the answer. */
    private void batch(Request request, Response response, List<Event> events) throws IOException {
        Response worst = null;
        List<Object> made = new ArrayList<>();
        for (Event e : events) {
            Response own = new Response(null, request);
            calls.dispatch(new Served(name, instance, route) {
                @Override
                void call(Request q, Response r) throws Throwable {
                    Event m = handle(q, r, e);
                    if (m != null) {
                        made.add(m.json());
                    }
                }
            }, request, own);
            if (own.getStatusCode() >= 300 && (worst == null || own.getStatusCode() > worst.getStatusCode())) {
                worst = own;
            }
        }
        if (worst != null) {
            response.take(worst);
        } else if (!made.isEmpty()) {
            response.setContentType("application/cloudevents-batch+json");
            response.keep(Json.write(made).getBytes(StandardCharsets.UTF_8));
        }
    }
}
