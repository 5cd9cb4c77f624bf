package dev.openfunction.invoker;

import dev.openfunction.functions.Component;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** OpenFunction's context of a function, of FUNC_CONTEXT and FUNC_CONTEXT_V1BETA2, where the second wins. */
@SuppressWarnings("deprecation") // uri, which old contexts have
final class FunctionContext {
    String name = "";
    int port;
    boolean async;
    String httpPattern = "/";
    final Map<String, Component> inputs = new LinkedHashMap<>();
    /** Names of the inputs whose events call the function. */
    final List<String> triggers = new ArrayList<>();
    final Map<String, Component> outputs = new LinkedHashMap<>();
    final Map<String, Component> states = new LinkedHashMap<>();
    List<String> before = List.of();
    List<String> after = List.of();

    static FunctionContext parse(Map<String, String> env) throws StartError {
        FunctionContext c = new FunctionContext();
        c.first(object(env, "FUNC_CONTEXT"));
        c.second(object(env, "FUNC_CONTEXT_V1BETA2"));
        return c;
    }

    private static Map<String, Object> object(Map<String, String> env, String variable) throws StartError {
        String text = env.get(variable);
        if (text == null || text.isBlank()) {
            return Map.of();
        }
        try {
            if (Json.parse(text) instanceof Map<?, ?> m) {
                return cast(m);
            }
            throw new StartError(variable + " must be a JSON object");
        } catch (Json.Wrong e) {
            throw new StartError(variable + " is not JSON: " + e.getMessage());
        }
    }

    private void first(Map<String, Object> m) throws StartError {
        if (m.isEmpty()) {
            return;
        }
        name = text(m, "name");
        String runtime = text(m, "runtime");
        if (!runtime.isEmpty() && !runtime.equals("Knative") && !runtime.equals("Async")) {
            throw new StartError("FUNC_CONTEXT: runtime is \"" + runtime + "\": it must be Knative or Async");
        }
        async = runtime.equals("Async");
        port = port(m.get("port"), "FUNC_CONTEXT: port");
        if (!text(m, "httpPattern").isEmpty()) {
            httpPattern = text(m, "httpPattern");
        }
        components("FUNC_CONTEXT", m, true);
        triggers.addAll(inputs.keySet());
        before = names(m.get("prePlugins"));
        after = names(m.get("postPlugins"));
    }

    private void second(Map<String, Object> m) throws StartError {
        if (m.isEmpty()) {
            return;
        }
        if (!text(m, "name").isEmpty()) {
            name = text(m, "name");
        }
        Map<String, Object> t = members(m, "triggers");
        int own = port(members(t, "http").get("port"), "FUNC_CONTEXT_V1BETA2: triggers.http.port");
        port = own > 0 ? own : port;
        components("FUNC_CONTEXT_V1BETA2", m, false);
        if (t.get("dapr") instanceof List<?> l && !l.isEmpty()) {
            async = true;
            triggers.clear();
            for (Object e : l) {
                daprTrigger(e instanceof Map<?, ?> d ? cast(d) : Map.of());
            }
        } else if (t.get("http") instanceof Map<?, ?>) {
            async = false;
        }
        before = m.containsKey("preHooks") ? names(m.get("preHooks")) : before;
        after = m.containsKey("postHooks") ? names(m.get("postHooks")) : after;
    }

    private void daprTrigger(Map<String, Object> d) throws StartError {
        String input = text(d, "inputName").isEmpty() ? text(d, "name") : text(d, "inputName");
        Component c = new Component();
        c.setComponentName(text(d, "name"));
        c.setComponentType(text(d, "type"));
        c.setTopic(text(d, "topic"));
        c.setDeadLetterTopic(text(d, "deadLetterTopic"));
        Component known = inputs.get(input);
        c.setMetadata(known == null || known.getMetadata() == null ? Map.of() : known.getMetadata());
        check("FUNC_CONTEXT_V1BETA2: triggers.dapr " + input, c, "bindings.", "pubsub.");
        inputs.put(input, c);
        triggers.add(input);
    }

    private void components(String variable, Map<String, Object> m, boolean strict) throws StartError {
        for (Map.Entry<String, Object> e : members(m, "inputs").entrySet()) {
            inputs.put(e.getKey(), component(variable + ": input " + e.getKey(), e.getValue(), inputs.get(e.getKey()), "bindings.", "pubsub."));
        }
        for (Map.Entry<String, Object> e : members(m, "outputs").entrySet()) {
            outputs.put(e.getKey(), component(variable + ": output " + e.getKey(), e.getValue(), outputs.get(e.getKey()), "bindings.", "pubsub."));
        }
        for (Map.Entry<String, Object> e : members(m, "states").entrySet()) {
            states.put(e.getKey(), component(variable + ": state " + e.getKey(), e.getValue(), states.get(e.getKey()), "state.", "state."));
        }
    }

    private static Component component(String what, Object v, Component known, String... kinds) throws StartError {
        Map<String, Object> m = v instanceof Map<?, ?> map ? cast(map) : Map.of();
        Component c = known == null ? new Component() : known;
        c.setUri(either(m, "uri", c.getUri()));
        c.setTopic(either(m, "topic", c.getTopic()));
        c.setComponentName(either(m, "componentName", c.getComponentName()));
        c.setComponentType(either(m, "componentType", c.getComponentType()));
        c.setOperation(either(m, "operation", c.getOperation()));
        Map<String, String> metadata = new LinkedHashMap<>();
        members(m, "metadata").forEach((k, value) -> metadata.put(k, String.valueOf(value)));
        if (c.getMetadata() == null || !metadata.isEmpty()) {
            c.setMetadata(metadata);
        }
        check(what, c, kinds);
        return c;
    }

    private static void check(String what, Component c, String... kinds) throws StartError {
        if (c.getComponentName() == null || c.getComponentName().isEmpty()) {
            throw new StartError(what + " has no componentName");
        }
        String kind = c.getComponentType() == null ? "" : c.getComponentType();
        for (String k : kinds) {
            if (kind.startsWith(k)) {
                return;
            }
        }
        throw new StartError(what + " has the componentType \"" + kind + "\": it must begin with " + String.join(" or ", new java.util.LinkedHashSet<>(List.of(kinds))));
    }

    private static int port(Object v, String what) throws StartError {
        if (v == null || "".equals(v)) {
            return 0;
        }
        String s = String.valueOf(v);
        if (Settings.digits(s) && s.length() < 6 && Integer.parseInt(s) <= 65535) {
            return Integer.parseInt(s);
        }
        throw new StartError(what + " is \"" + s + "\": it must be a port from 1 to 65535");
    }

    private static List<String> names(Object v) {
        List<String> names = new ArrayList<>();
        if (v instanceof List<?> l) {
            l.forEach(e -> names.add(String.valueOf(e)));
        }
        return names;
    }

    private static String either(Map<String, Object> m, String key, String otherwise) {
        String v = text(m, key);
        return v.isEmpty() ? otherwise : v;
    }

    static String text(Map<String, Object> m, String key) {
        return m.get(key) instanceof String s ? s : "";
    }

    private static Map<String, Object> members(Map<String, Object> m, String key) {
        return m.get(key) instanceof Map<?, ?> inner ? cast(inner) : Map.of();
    }

    @SuppressWarnings("unchecked") // keys of JSON are strings
    static Map<String, Object> cast(Map<?, ?> m) {
        return (Map<String, Object>) m;
    }
}
