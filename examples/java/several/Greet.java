import dev.openfunction.functions.HttpFunction;
import dev.openfunction.functions.HttpRequest;
import dev.openfunction.functions.HttpResponse;
import dev.openfunction.functions.Routable;

/** Greets whom the path names. */
public class Greet extends Routable implements HttpFunction {
    @Override
    public String getPath() {
        return "/hello/{name}";
    }

    @Override
    public String[] getMethods() {
        return new String[] {METHOD_GET};
    }

    @Override
    public void service(HttpRequest request, HttpResponse response) throws Exception {
        response.getWriter().write("Hello, " + request.getPathVariables().get("name") + "!\n");
    }
}
