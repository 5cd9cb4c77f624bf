package dev.openfunction.invoker;

import dev.openfunction.functions.CloudEventFunction;
import dev.openfunction.functions.HttpFunction;
import dev.openfunction.functions.OpenFunction;
import dev.openfunction.functions.Routable;
import dev.openfunction.functions.TypedFunction;
import io.cloudevents.CloudEvent;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Finds and makes the functions that are served. */
final class Functions {
    /** Lists the classes of all functions of an application, one a line. */
    static final String INDEX = "META-INF/openfunction/functions";

    final List<Served> served = new ArrayList<>();
    private final Settings settings;
    private final Calls calls;
    private final List<String> index;
    /** One function was chosen among several. */
    final boolean selected;

    Functions(Settings settings, Log log) throws StartError {
        this.settings = settings;
        calls = new Calls(settings, log);
        index = index();
        switch (settings.get("FUNCTION_SIGNATURE_TYPE")) {
            case "", "http", "cloudevent", "event", "openfunction", "typed" -> {}
            default -> throw new StartError("FUNCTION_SIGNATURE_TYPE is \"" + settings.get("FUNCTION_SIGNATURE_TYPE")
                    + "\": it must be http, cloudevent, openfunction or typed");
        }
        String target = settings.get("FUNCTION_TARGET").trim();
        if (target.isEmpty()) {
            if (index.isEmpty()) {
                throw new StartError("FUNCTION_TARGET is not set: it must be the class of the function");
            }
            for (String name : index) {
                Object o = make(load(name));
                add(nameOf(o, o.getClass().getSimpleName()), o);
            }
        } else {
            for (String name : target.split(",")) {
                Object o = find(name.trim());
                add(target.contains(",") ? nameOf(o, o.getClass().getSimpleName()) : name.trim(), o);
            }
        }
        selected = served.size() == 1 && index.size() > 1;
    }

    Calls calls() {
        return calls;
    }

    private static List<String> index() throws StartError {
        try (InputStream in = ClassLoader.getSystemResourceAsStream(INDEX)) {
            if (in == null) {
                return List.of();
            }
            return new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8)).lines().filter(l -> !l.isBlank()).toList();
        } catch (IOException e) {
            throw new StartError("reading " + INDEX + ": " + e.getMessage(), e);
        }
    }

    private static String nameOf(Object o, String otherwise) {
        return o instanceof Routable r && r.getName() != null ? r.getName() : otherwise;
    }

    /** Finds a function by its class, the simple name of it, or the name that it gives itself. */
    private Object find(String name) throws StartError {
        for (String known : index) {
            if (known.equals(name) || known.endsWith("." + name) || known.endsWith("$" + name)) {
                return make(load(known));
            }
        }
        try {
            return make(Class.forName(name, true, ClassLoader.getSystemClassLoader()));
        } catch (ClassNotFoundException e) {
            if (name.indexOf('.') < 0) {
                for (String known : index) {
                    Object o = make(load(known));
                    if (nameOf(o, "").equals(name)) {
                        return o;
                    }
                }
            }
            throw new StartError("there is no class " + name + " in the class path" + (index.isEmpty() ? "" : ": the functions are " + String.join(", ", index)));
        } catch (LinkageError e) {
            throw broken(name, e);
        }
    }

    private static Class<?> load(String name) throws StartError {
        try {
            return Class.forName(name, true, ClassLoader.getSystemClassLoader());
        } catch (ClassNotFoundException | LinkageError e) {
            throw broken(name, e);
        }
    }

    private static StartError broken(String name, Throwable e) {
        Throwable cause = e instanceof ExceptionInInitializerError && e.getCause() != null ? e.getCause() : e;
        return new StartError("the class " + name + " cannot be loaded: " + cause, cause);
    }

    private static Object make(Class<?> c) throws StartError {
        try {
            Constructor<?> constructor = c.getDeclaredConstructor();
            constructor.setAccessible(true);
            return constructor.newInstance();
        } catch (InvocationTargetException e) {
            throw new StartError("the constructor of " + c.getName() + " failed: " + e.getCause(), e.getCause());
        } catch (NoSuchMethodException e) {
            throw new StartError("the function " + c.getName() + " needs a constructor without parameters");
        } catch (ReflectiveOperationException | LinkageError e) {
            throw broken(c.getName(), e);
        }
    }

    /** The signatures that a class has, the usual one first. */
    static List<String> kinds(Class<?> c) {
        List<String> kinds = new ArrayList<>();
        if (HttpFunction.class.isAssignableFrom(c)) {
            kinds.add("http");
        }
        if (CloudEventFunction.class.isAssignableFrom(c)) {
            kinds.add("cloudevent");
        }
        if (OpenFunction.class.isAssignableFrom(c)) {
            kinds.add("openfunction");
        }
        if (TypedFunction.class.isAssignableFrom(c) || Function.class.isAssignableFrom(c)) {
            String kind = input(c) == CloudEvent.class ? "cloudevent" : "typed";
            if (!kinds.contains(kind)) {
                kinds.add(kind);
            }
        }
        return kinds;
    }

    private void add(String name, Object o) throws StartError {
        List<String> kinds = kinds(o.getClass());
        if (kinds.isEmpty()) {
            throw new StartError("the class " + o.getClass().getName()
                    + " is no function: it must implement HttpFunction, CloudEventFunction, OpenFunction or TypedFunction of dev.openfunction.functions");
        }
        String wanted = settings.get("FUNCTION_SIGNATURE_TYPE").replaceAll("^event$", "cloudevent");
        String kind = kinds.contains(wanted) ? wanted : kinds.get(0);
        Routes.Route route = Routes.Route.of(o, kind.equals("cloudevent"));
        served.add(switch (kind) {
            case "http" -> new HttpServed(name, (HttpFunction) o, route, calls);
            case "openfunction" -> new OpenServed(name, (OpenFunction) o, route, calls, settings.maxBody);
            case "cloudevent" -> new EventServed(name, o, handler(o), route, calls, settings.maxBody);
            default -> new TypedServed(name, typed(o), input(o.getClass()), route, settings.maxBody);
        });
    }

    private static EventServed.Handler handler(Object o) {
        if (o instanceof CloudEventFunction f) {
            return EventServed.of(f);
        }
        TypedFunction<Object, Object> f = typed(o);
        return (context, event) -> f.apply(event) instanceof CloudEvent made ? made : null;
    }

    @SuppressWarnings("unchecked") // Binding gives it values of its type
    private static TypedFunction<Object, Object> typed(Object o) {
        return o instanceof TypedFunction<?, ?> f ? (TypedFunction<Object, Object>) f : ((Function<Object, Object>) o)::apply;
    }

    /** The type of the parameter of a typed function. */
    private static Type input(Class<?> c) {
        for (Class<?> at = c; at != null; at = at.getSuperclass()) {
            for (Type t : at.getGenericInterfaces()) {
                if (t instanceof ParameterizedType p && (p.getRawType() == TypedFunction.class || p.getRawType() == Function.class)) {
                    return p.getActualTypeArguments()[0];
                }
            }
        }
        return Object.class;
    }
}
