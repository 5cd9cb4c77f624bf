package dev.openfunction.invoker;

import dev.openfunction.functions.OpenFunction;
import dev.openfunction.functions.Out;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** A function of the openfunction signature. */
final class OpenServed extends Served {
    private final OpenFunction function;
    private final Calls calls;
    private final int maxBody;

    OpenServed(String name, OpenFunction function, Routes.Route route, Calls calls, int maxBody) {
        super(name, function, route);
        this.function = function;
        this.calls = calls;
        this.maxBody = maxBody;
    }

    @Override
    void call(Request request, Response response) throws Throwable {
        byte[] data = request.whole(maxBody);
        CallContext context = calls.context(name, request, response);
        try {
            Event event = switch (Events.mode(request)) {
                case BINARY -> Events.binary(request, data);
                case STRUCTURED -> Events.structured(data);
                default -> null;
            };
            if (event != null) {
                context.event(event);
                data = event.data == null ? new byte[0] : event.data;
            }
        } catch (Events.Invalid e) {
            response.own(e.status, e.getMessage(), e.headers);
            return;
        }
        Out out = run(context, data);
        answer(request, response, out);
    }

    /** Calls the function between its hooks. */
    Out run(CallContext context, byte[] data) throws Exception {
        String payload = new String(data, StandardCharsets.UTF_8);
        calls.around(context, () -> context.out(function.accept(context, payload)));
        return context.getOut();
    }

    private void answer(Request request, Response response, Out out) throws Exception {
        int code = out == null ? 0 : out.getCode();
        byte[] data = out == null || out.getData() == null ? null : bytes(out.getData());
        Error error = out == null ? null : out.getError();
        if (error != null && data == null) {
            throw new Failed(code >= 400 && code <= 599 ? code : 500, error);
        }
        if (response.begun()) { // code and headers are sent
            if (data != null) {
                response.write(data, 0, data.length);
            }
            return;
        }
        if (!response.written() || code != 0) {
            int status = code == 0 ? response.getStatusCode() : code < 200 || code > 599 ? 500 : code;
            status = error != null && status < 400 ? 500 : status;
            response.setStatusCode(status);
        }
        if (error != null) {
            calls.log(this, request, error);
        }
        response.appendHeader("X-OpenFunction-Status", response.getStatusCode() >= 400 ? "error" : "success");
        if (data != null && data.length > 0) {
            if (response.getContentType().isEmpty()) {
                response.setContentType(Text.typeOf(data));
            }
            response.keep(data);
        }
    }

    static byte[] bytes(ByteBuffer b) {
        byte[] data = new byte[b.remaining()];
        b.duplicate().get(data);
        return data;
    }
}
