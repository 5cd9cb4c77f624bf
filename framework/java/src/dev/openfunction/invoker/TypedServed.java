package dev.openfunction.invoker;

import dev.openfunction.functions.TypedFunction;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;

/** A function of JSON to JSON. */
final class TypedServed extends Served {
    private final TypedFunction<Object, Object> function;
    private final Type input;
    private final int maxBody;

    TypedServed(String name, TypedFunction<Object, Object> function, Type input, Routes.Route route, int maxBody) {
        super(name, function, route);
        this.function = function;
        this.input = input;
        this.maxBody = maxBody;
    }

    @Override
    void call(Request request, Response response) throws Throwable {
        String type = request.mediaType();
        if (!type.isEmpty() && !type.equals("application/json") && !type.endsWith("+json")) {
            response.own(415, "this function takes JSON: send the content type application/json");
            return;
        }
        Object value;
        try {
            value = Binding.read(Json.parse(request.whole(maxBody)), input, "");
        } catch (Json.Wrong e) {
            response.own(400, "the request body is not the JSON that this function takes: " + e.getMessage().replaceAll("[\\r\\n]+", " "));
            return;
        }
        Object result = function.apply(value);
        if (result == null) {
            response.setStatusCode(204);
            return;
        }
        response.setContentType("application/json");
        response.keep(Json.write(Binding.write(result)).getBytes(StandardCharsets.UTF_8));
    }
}
