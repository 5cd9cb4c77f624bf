package dev.openfunction.invoker;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Accepts connections and gives each a thread, as functions may block. */
final class Server {
    /** What answers requests. */
    interface Handler {
        void handle(Request request, Response response) throws IOException;
    }

    /** More connections wait in the kernel. */
    private static final int MOST = 4096;
    private static final long STACK = 512 << 10;

    private final ServerSocketChannel listener;
    private final Handler handler;
    private final int maxBody;
    private final Set<Connection> connections = new HashSet<>();
    private volatile boolean draining;

    Server(ServerSocketChannel listener, Handler handler, int maxBody) {
        this.listener = listener;
        this.handler = handler;
        this.maxBody = maxBody;
    }

    Handler handler() {
        return handler;
    }

    int maxBody() {
        return maxBody;
    }

    boolean draining() {
        return draining;
    }

    /** Serves until the listener is closed. */
    void run() throws IOException {
        try {
            for (long n = 0;; n++) {
                awaitRoom();
                Connection c = new Connection(this, accept());
                synchronized (connections) {
                    connections.add(c);
                }
                new Thread(null, c, "connection-" + n, STACK).start();
            }
        } catch (ClosedChannelException e) {
            // drain closed it
        }
    }

    private SocketChannel accept() throws IOException {
        while (true) {
            try {
                SocketChannel c = listener.accept();
                if (c.getLocalAddress() instanceof InetSocketAddress) {
                    c.setOption(StandardSocketOptions.TCP_NODELAY, true);
                }
                return c;
            } catch (ClosedChannelException e) {
                throw e;
            } catch (IOException e) {
                // the client was gone before it was accepted, or file descriptors are short for a moment
                java.util.concurrent.locks.LockSupport.parkNanos(5_000_000);
            }
        }
    }

    private void awaitRoom() {
        synchronized (connections) {
            while (connections.size() >= MOST) {
                try {
                    connections.wait();
                } catch (InterruptedException e) {
                    return; // nobody interrupts this thread
                }
            }
        }
    }

    void ended(Connection c) {
        synchronized (connections) {
            connections.remove(c);
            connections.notifyAll();
        }
    }

    /** Stops accepting, lets running calls end, and tells whether all did in time. */
    boolean drain(long millis) {
        draining = true;
        try {
            listener.close();
        } catch (IOException e) {
            // it accepts no more in any case
        }
        List<Connection> open;
        synchronized (connections) {
            open = new ArrayList<>(connections);
        }
        open.forEach(Connection::closeIfIdle);
        long end = System.nanoTime() + millis * 1_000_000;
        synchronized (connections) {
            while (!connections.isEmpty()) {
                long left = (end - System.nanoTime()) / 1_000_000;
                if (left <= 0) {
                    return false;
                }
                try {
                    connections.wait(left);
                } catch (InterruptedException e) {
                    return false;
                }
            }
        }
        return true;
    }
}
