package dev.openfunction.invoker;

import java.util.Map;

/** The environment that the contract gives a meaning to, checked. */
final class Settings {
    final Map<String, String> env;
    final FunctionContext context;
    final int port;
    final long graceMillis;
    final Log.Level level;
    final int maxBody;

    Settings(Map<String, String> env) throws StartError {
        this.env = env;
        context = FunctionContext.parse(env);
        port = context.port > 0 ? context.port : (int) number("PORT", 8080, 1, 65535, "a port from 1 to 65535");
        graceMillis = duration("OFN_GRACE", 30_000);
        level = level();
        maxBody = (int) Math.min(Integer.MAX_VALUE - 16, number("OFN_MAX_BODY", 64 << 20, 1, Long.MAX_VALUE, "a number of bytes, at least 1"));
        number("OFN_CONCURRENCY", 0, 0, Integer.MAX_VALUE, "a number of calls, or 0"); // each connection has a thread: there is nothing to choose
    }

    String get(String name) {
        String v = env.get(name);
        return v == null ? "" : v;
    }

    /** The name of lines of the log that belong to no registered function. */
    String service() {
        if (!context.name.isEmpty()) {
            return context.name;
        }
        return get("K_SERVICE").isEmpty() ? "function" : get("K_SERVICE");
    }

    private long number(String name, long otherwise, long least, long most, String rule) throws StartError {
        String v = get(name);
        if (v.isEmpty()) {
            return otherwise;
        }
        try {
            long n = digits(v) ? Long.parseLong(v) : -1;
            if (n >= least && n <= most) {
                return n;
            }
        } catch (NumberFormatException e) {
            // out of any range
        }
        throw new StartError(name + " is \"" + v + "\": it must be " + rule);
    }

    private long duration(String name, long otherwise) throws StartError {
        String v = get(name);
        if (v.isEmpty()) {
            return otherwise;
        }
        long unit = v.endsWith("ms") ? 1 : v.endsWith("s") ? 1000 : v.endsWith("m") ? 60_000 : 0;
        String n = v.endsWith("ms") ? v.substring(0, v.length() - 2) : v.substring(0, v.length() - 1);
        if (unit > 0 && digits(n) && n.length() <= 9 && Long.parseLong(n) > 0) {
            return Long.parseLong(n) * unit;
        }
        throw new StartError(name + " is \"" + v + "\": it must be digits and a unit ms, s or m, such as 25s");
    }

    private Log.Level level() throws StartError {
        String v = get("OFN_LOG_LEVEL");
        switch (v) {
            case "debug":
                return Log.Level.DEBUG;
            case "":
            case "info":
                return Log.Level.INFO;
            case "warn":
                return Log.Level.WARN;
            case "error":
                return Log.Level.ERROR;
            default:
                throw new StartError("OFN_LOG_LEVEL is \"" + v + "\": it must be debug, info, warn or error");
        }
    }

    static boolean digits(String s) {
        for (int i = 0; i < s.length(); i++) {
            if (s.charAt(i) < '0' || s.charAt(i) > '9') {
                return false;
            }
        }
        return !s.isEmpty();
    }
}
