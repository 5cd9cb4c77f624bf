package dev.openfunction.invoker;

import dev.openfunction.functions.Routable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** Which function is served at which path. */
final class Routes {
    /** Where a function wants to be served. */
    static final class Route {
        final String path; // null: nowhere in particular
        final List<String> methods; // empty: all
        private final Pattern pattern; // null: the path is text
        private final List<String> names = new ArrayList<>();

        private Route(String path, List<String> methods) throws StartError {
            this.path = path;
            this.methods = methods;
            pattern = path == null || path.indexOf('{') < 0 ? null : compile(path);
        }

        static Route of(Object function, boolean event) throws StartError {
            if (!(function instanceof Routable r)) {
                return new Route(null, List.of());
            }
            List<String> methods = new ArrayList<>();
            if (!event && overrides(r, "getMethods") && r.getMethods() != null) {
                for (String m : r.getMethods()) {
                    methods.add(m.toUpperCase(Locale.ROOT));
                }
            }
            String path = r.getPath();
            if (!overrides(r, "getPath") || path == null || path.isEmpty()) {
                path = null;
            } else if (!path.startsWith("/")) {
                throw new StartError("the path \"" + path + "\" of " + function.getClass().getName() + " must begin with /");
            }
            return new Route(path, methods);
        }

        private static boolean overrides(Routable r, String method) {
            try {
                return r.getClass().getMethod(method).getDeclaringClass() != Routable.class;
            } catch (NoSuchMethodException e) {
                return false;
            }
        }

        private Pattern compile(String text) throws StartError {
            StringBuilder b = new StringBuilder();
            int at = 0;
            while (at < text.length()) {
                int open = text.indexOf('{', at);
                if (open < 0) {
                    break;
                }
                int close = closing(text, open);
                int colon = text.indexOf(':', open);
                boolean own = colon > 0 && colon < close;
                b.append(Pattern.quote(text.substring(at, open)));
                names.add(text.substring(open + 1, own ? colon : close));
                b.append("(?<v").append(names.size()).append('>').append(own ? text.substring(colon + 1, close) : "[^/]+").append(')');
                at = close + 1;
            }
            b.append(Pattern.quote(text.substring(at)));
            try {
                return Pattern.compile(b.toString());
            } catch (PatternSyntaxException e) {
                throw new StartError("the path \"" + text + "\" is no pattern: " + e.getDescription());
            }
        }

        private static int closing(String text, int open) throws StartError {
            int depth = 0;
            for (int i = open; i < text.length(); i++) {
                depth += text.charAt(i) == '{' ? 1 : text.charAt(i) == '}' ? -1 : 0;
                if (depth == 0) {
                    return i;
                }
            }
            throw new StartError("the path \"" + text + "\" is no pattern: a { has no }");
        }

        /** The variables of a decoded path, or null when it is another path. */
        private Map<String, String> match(String decoded) {
            if (pattern == null) {
                return (path == null ? "/" : path).equals(decoded) ? Map.of() : null;
            }
            Matcher m = pattern.matcher(decoded);
            if (!m.matches()) {
                return null;
            }
            Map<String, String> v = new LinkedHashMap<>();
            for (int i = 0; i < names.size(); i++) {
                v.put(names.get(i), m.group("v" + (i + 1)));
            }
            return v;
        }
    }

    private final List<Served> functions;
    private final boolean everywhere;
    private final boolean selected;

    /** @param selected the only function was chosen among several, so that it is served at the root too */
    Routes(List<Served> functions, boolean selected) throws StartError {
        this.functions = functions;
        this.selected = selected;
        everywhere = functions.size() == 1 && functions.get(0).route.path == null;
        StringBuilder wrong = new StringBuilder();
        Map<String, String> paths = new LinkedHashMap<>();
        Map<String, String> names = new LinkedHashMap<>();
        for (Served f : functions) {
            String path = f.route.path == null ? "/" : f.route.path;
            String other = paths.put(path, f.name);
            if (other != null) {
                wrong.append("; ").append(other).append(" and ").append(f.name).append(" both are served at ").append(path);
            }
            if (names.put(f.name, path) != null) {
                wrong.append("; two functions are called ").append(f.name);
            }
        }
        if (wrong.length() > 0) {
            throw new StartError("the functions cannot be served together: " + wrong.substring(2) + ": extend Routable and give each a path of its own");
        }
    }

    boolean several() {
        return functions.size() > 1;
    }

    /** Finds the function for a request, or makes the answer and returns null. */
    Served find(Request request, Response response) {
        Served only = functions.get(0);
        if (everywhere && only.route.methods.isEmpty()) {
            return only;
        }
        String decoded = Percent.decode(request.getPath());
        TreeSet<String> allowed = new TreeSet<>();
        for (Served f : functions) {
            Map<String, String> variables = everywhere || selected && decoded.equals("/") ? Map.of() : f.route.match(decoded);
            if (variables == null) {
                continue;
            }
            if (f.route.methods.isEmpty() || f.route.methods.contains(request.getMethod())) {
                request.variables(variables);
                return f;
            }
            allowed.addAll(f.route.methods);
        }
        if (allowed.isEmpty()) {
            response.own(404, "no function is served at this path");
        } else {
            response.own(405, "method not allowed", "Allow", String.join(", ", allowed));
        }
        return null;
    }
}
