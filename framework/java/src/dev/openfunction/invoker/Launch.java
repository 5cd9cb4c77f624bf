package dev.openfunction.invoker;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;

/** Starts a program that is a server of its own, after telling the usual frameworks the port in PORT. Arguments: its class, then its own. */
public final class Launch {
    private static final String[] PORTS = {"server.port", "quarkus.http.port", "micronaut.server.port"};

    private Launch() {}

    public static void main(String[] args) throws Throwable {
        String port = System.getenv("PORT");
        if (port == null || port.isEmpty()) {
            port = "8080";
        }
        for (String name : PORTS) {
            if (System.getProperty(name) == null && System.getenv(name.toUpperCase(java.util.Locale.ROOT).replace('.', '_')) == null) {
                System.setProperty(name, port);
            }
        }
        Method main;
        try {
            main = Class.forName(args[0], true, ClassLoader.getSystemClassLoader()).getMethod("main", String[].class);
        } catch (ClassNotFoundException | NoSuchMethodException | LinkageError e) {
            new Log(Log.Level.ERROR).line(Log.Level.ERROR, "function server ended", "error", "the program " + args[0] + " cannot be started: " + e);
            System.exit(1);
            return;
        }
        try {
            main.setAccessible(true);
            main.invoke(null, (Object) java.util.Arrays.copyOfRange(args, 1, args.length));
        } catch (InvocationTargetException e) {
            throw e.getCause();
        }
    }
}
