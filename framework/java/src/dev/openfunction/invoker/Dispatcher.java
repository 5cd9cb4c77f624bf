package dev.openfunction.invoker;

import java.io.IOException;

/** What becomes of a request: reserved paths, the function's call, and the answer to a call that failed. */
final class Dispatcher implements Server.Handler {
    private final Routes routes;
    private final Dapr dapr;
    private final Log log;

    Dispatcher(Routes routes, Dapr dapr, Log log) {
        this.routes = routes;
        this.dapr = dapr;
        this.log = log;
    }

    @Override
    public void handle(Request request, Response response) throws IOException {
        String path = request.getPath();
        if (path.startsWith("/_ofn/") || request.header("K-Network-Probe") != null) {
            if (reserved(path, request, response)) {
                return;
            }
        }
        if (!path.startsWith("/")) {
            if (path.equals("*") && request.getMethod().equals("OPTIONS")) {
                return; // 200 and nothing
            }
            response.own(400, "the target of the request is no path");
            return;
        }
        if (dapr != null && dapr.handles(request, response, this)) {
            return;
        }
        Served f = routes.find(request, response);
        if (f == null) {
            return;
        }
        if (routes.several()) {
            response.function(f.name);
        }
        call(f, request, response);
    }

    private boolean reserved(String path, Request request, Response response) {
        boolean drains = request.drains();
        if (path.equals("/_ofn/health") || path.equals("/_ofn/ready")) {
            response.own(drains ? 503 : 200, drains ? "draining" : "ok");
            return true;
        }
        if ("queue".equals(request.header("K-Network-Probe"))) {
            if (drains) {
                response.own(503, "draining");
                return true;
            }
            response.header("Content-Type", "text/plain; charset=utf-8");
            response.header("X-Content-Type-Options", "nosniff");
            response.keep("queue".getBytes(java.nio.charset.StandardCharsets.US_ASCII));
            return true;
        }
        if (path.startsWith("/_ofn/")) {
            boolean draining = path.equals("/_ofn/specialise") && drains;
            response.own(draining ? 503 : 404, draining ? "draining" : "not found");
            return true;
        }
        return false;
    }

    /** Calls a function; false when the call failed. */
    boolean call(Served f, Request request, Response response) throws IOException {
        try {
            f.call(request, response);
            return true;
        } catch (Request.TooLarge e) {
            response.own(413, e.getMessage());
        } catch (Served.Failed e) {
            failed(f, request, response, e.getCause(), false, e.status);
        } catch (Throwable t) { // whatever leaves a function hurts its own call only
            failed(f, request, response, t, true, 500);
        }
        return false;
    }

    /** Answers a call that failed, and tells the log why. */
    void failed(Served f, Request request, Response response, Throwable cause, boolean crash, int status) {
        String id = Text.randomHex(16);
        log.line(Log.Level.ERROR, crash ? "function crashed" : "function failed", "id", id, "function", f.name, "request_id", request.id(),
                "trace_id", request.traceId(), "method", request.getMethod(), "path", request.getPath(), "error", Log.cause(cause),
                "stack", crash ? Log.stack(cause) : null);
        if (response.begun()) {
            response.abort();
            return;
        }
        response.own(status, "internal error, id " + id, "X-OpenFunction-Error-Id", id, "X-OpenFunction-Status", crash ? "crash" : "error");
    }
}
