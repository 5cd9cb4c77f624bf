package dev.openfunction.invoker;

import dev.openfunction.functions.Hook;
import dev.openfunction.functions.Plugin;
import java.io.IOException;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.Set;

/** What calls of functions with a context have in common: outputs, and hooks before and after. */
@SuppressWarnings("deprecation") // plugins are still served
final class Calls {
    /** The call between the hooks. */
    interface Body {
        void run() throws Exception;
    }

    final Settings settings;
    private final Log log;
    private final Dispatcher dispatcher;
    private final Map<String, Object> prototypes = new HashMap<>(); // Hook or Plugin by name

    Calls(Settings settings, Log log) throws StartError {
        this.settings = settings;
        this.log = log;
        dispatcher = new Dispatcher(null, null, log);
        Set<String> names = new LinkedHashSet<>(settings.context.before);
        names.addAll(settings.context.after);
        if (!names.isEmpty()) {
            find(names);
        }
    }

    /** Has nothing to do around a call? */
    boolean plain() {
        return prototypes.isEmpty();
    }

    CallContext context(String function, Request request, Response response) {
        return new CallContext(settings, function, request, response);
    }

    boolean dispatch(Served f, Request request, Response response) throws IOException {
        return dispatcher.call(f, request, response);
    }

    /** Tells the log of an error beside an answer. */
    void log(Served f, Request request, Throwable error) {
        log.line(Log.Level.ERROR, "function failed", "id", Text.randomHex(16), "function", f.name, "request_id", request.id(), "trace_id", request.traceId(),
                "method", request.getMethod(), "path", request.getPath(), "error", Log.cause(error));
    }

    private void find(Set<String> names) throws StartError {
        for (Hook h : ServiceLoader.load(Hook.class)) {
            prototypes.put(h.name(), h);
        }
        for (Plugin p : ServiceLoader.load(Plugin.class)) {
            prototypes.put(p.name(), p);
        }
        prototypes.keySet().retainAll(names);
        for (String name : names) {
            if (prototypes.containsKey(name)) {
                continue;
            }
            try {
                Object o = Class.forName(name).getDeclaredConstructor().newInstance();
                if (o instanceof Hook || o instanceof Plugin) {
                    prototypes.put(name, o);
                    continue;
                }
                throw new StartError("the hook " + name + " is neither a Hook nor a Plugin");
            } catch (ClassNotFoundException e) {
                log.line(Log.Level.WARN, "plugin unknown", "plugin", name,
                        "error", "there is neither a class " + name + " nor a service of that name: the function is called without it");
            } catch (ReflectiveOperationException | LinkageError e) {
                throw new StartError("the hook " + name + " cannot be made: " + e, e);
            }
        }
    }

    /** Runs a call with the hooks before it, and after it also when it fails. */
    void around(CallContext context, Body body) throws Exception {
        if (prototypes.isEmpty()) {
            body.run();
            return;
        }
        Map<String, Object> own = new HashMap<>();
        prototypes.forEach((name, p) -> {
            Object made = p instanceof Hook h ? h.init() : ((Plugin) p).init();
            own.put(name, made == null ? p : made);
        });
        run(settings.context.before, own, context, "before");
        try {
            body.run();
        } finally {
            run(settings.context.after, own, context, "after");
        }
    }

    private void run(List<String> names, Map<String, Object> own, CallContext context, String phase) {
        for (String name : names) {
            Object o = own.get(name);
            Throwable error = null;
            try {
                if (o instanceof Hook h) {
                    error = h.execute(context);
                } else if (o instanceof Plugin p) {
                    error = phase.equals("before") ? p.execPreHook(context) : p.execPostHook(context);
                }
            } catch (RuntimeException | LinkageError e) {
                error = e;
            }
            if (error != null) {
                log.line(Log.Level.WARN, "plugin failed", "plugin", name, "phase", phase, "function", context.function(), "request_id", context.getRequestId(),
                        "error", Log.cause(error));
            }
        }
    }
}
