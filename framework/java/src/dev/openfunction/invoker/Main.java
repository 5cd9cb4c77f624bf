package dev.openfunction.invoker;

import java.io.FileDescriptor;
import java.io.IOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.net.InetSocketAddress;
import java.net.ProtocolFamily;
import java.net.StandardProtocolFamily;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.spi.SelectorProvider;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;

/** Serves the functions that the environment names. */
public final class Main {
    private static final int INHERITED = 3;
    private static final String[] LISTEN = {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"};

    private final Settings settings;
    private final Log log;

    private Main(Settings settings) {
        this.settings = settings;
        log = new Log(settings.level);
    }

    public static void main(String[] args) {
        try {
            new Main(new Settings(System.getenv())).serve();
        } catch (StartError e) {
            ended(new Log(Log.Level.ERROR), System.getenv().getOrDefault("K_SERVICE", "function"), e);
            System.exit(1);
        }
    }

    private static void ended(Log log, String function, StartError e) {
        log.line(Log.Level.ERROR, "function server ended", "function", function, "error", e.getMessage(), "stack", e.getCause() == null ? null : Log.stack(e.getCause()));
    }

    private void serve() throws StartError {
        boolean inherits = "1".equals(settings.get("LISTEN_FDS")) && Long.toString(ProcessHandle.current().pid()).equals(settings.get("LISTEN_PID"));
        forget();
        Functions functions = new Functions(settings, log);
        Server server = server(settings, log, functions, inherits ? inherited() : bound());
        onSignals(server);
        try {
            server.run();
        } catch (IOException e) {
            throw new StartError("accepting connections: " + e.getMessage(), e);
        }
    }

    /** Puts a server together. */
    static Server server(Settings settings, Log log, Functions functions, ServerSocketChannel listener) throws StartError {
        Dapr dapr = null;
        if (settings.context.async && !settings.context.triggers.isEmpty() && functions.served.get(0) instanceof OpenServed f) {
            dapr = new Dapr(settings, functions.calls(), f);
        }
        Dispatcher dispatcher = new Dispatcher(new Routes(functions.served, functions.selected), dapr, log);
        return new Server(listener, dispatcher, settings.maxBody);
    }

    private ServerSocketChannel bound() throws StartError {
        try {
            return ServerSocketChannel.open().bind(new InetSocketAddress(settings.port), 1024);
        } catch (IOException e) {
            throw new StartError("listening on port " + settings.port + ": " + e.getMessage(), e);
        }
    }

    /** The socket that this process was started with. The JDK has no public way to it but standard input, which would close the output with it. */
    private static ServerSocketChannel inherited() throws StartError {
        try {
            Constructor<FileDescriptor> fd = FileDescriptor.class.getDeclaredConstructor(int.class);
            fd.setAccessible(true);
            Method family = Class.forName("sun.nio.ch.InheritedChannel").getDeclaredMethod("addressFamily", int.class);
            family.setAccessible(true);
            boolean unix = (int) family.invoke(null, INHERITED) == 3;
            Constructor<?> channel = Class.forName("sun.nio.ch.ServerSocketChannelImpl")
                    .getDeclaredConstructor(SelectorProvider.class, ProtocolFamily.class, FileDescriptor.class, boolean.class);
            channel.setAccessible(true);
            ProtocolFamily is = unix ? StandardProtocolFamily.UNIX : StandardProtocolFamily.INET6;
            return (ServerSocketChannel) channel.newInstance(SelectorProvider.provider(), is, fd.newInstance(INHERITED), true);
        } catch (ReflectiveOperationException | RuntimeException e) {
            throw new StartError("taking the listening socket as file descriptor 3: " + e
                    + ": the process needs --add-opens of java.base/java.io and java.base/sun.nio.ch", e);
        }
    }

    /** Removes how this process was told of its socket from the environment of its children. */
    private static void forget() {
        try {
            Field f = Class.forName("java.lang.ProcessEnvironment").getDeclaredField("theEnvironment");
            f.setAccessible(true);
            ((Map<?, ?>) f.get(null)).keySet().removeIf(k -> java.util.Arrays.asList(LISTEN).contains(k.toString()));
        } catch (ReflectiveOperationException | RuntimeException e) {
            // children see variables that name another process, and ignore them
        }
    }

    @SuppressWarnings("sunapi") // nothing else tells of a second signal
    private void onSignals(Server server) {
        AtomicBoolean first = new AtomicBoolean(true);
        sun.misc.SignalHandler end = signal -> {
            if (!first.getAndSet(false)) {
                Runtime.getRuntime().halt(128 + signal.getNumber());
            }
            if (server.drain(settings.graceMillis)) {
                System.exit(0);
            }
            ended(log, settings.service(), new StartError("calls still ran after OFN_GRACE, " + settings.graceMillis + " ms after the signal to end: they were cut off"));
            Runtime.getRuntime().halt(1);
        };
        sun.misc.Signal.handle(new sun.misc.Signal("TERM"), end);
        sun.misc.Signal.handle(new sun.misc.Signal("INT"), end);
    }
}
