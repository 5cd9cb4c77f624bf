package functions;

import dev.openfunction.functions.HttpFunction;
import dev.openfunction.functions.HttpRequest;
import dev.openfunction.functions.HttpResponse;

/** Greets whom the path names. */
public class Hello implements HttpFunction {
    @Override
    public void service(HttpRequest request, HttpResponse response) throws Exception {
        response.setContentType("text/plain; charset=utf-8");
        response.getWriter().write("Hello, " + request.getPath().substring(1) + "!\n");
    }
}
