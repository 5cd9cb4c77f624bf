package dev.openfunction.invoker;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.LinkedHashMap;
import java.util.Map;

/** The framework's own lines on standard error: one JSON object each, written at once and whole. */
final class Log {
    enum Level {
        DEBUG,
        INFO,
        WARN,
        ERROR
    }

    private final Level least;
    private final FileOutputStream out = new FileOutputStream(FileDescriptor.err);

    Log(Level least) {
        this.least = least;
    }

    /** Writes a line; fields are name, value, name, value, and null values are left out. */
    void line(Level level, String message, Object... fields) {
        if (level.compareTo(least) < 0) {
            return;
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("time", DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'").format(Instant.now().atOffset(ZoneOffset.UTC)));
        line.put("level", level.name());
        line.put("msg", message);
        for (int i = 0; i < fields.length; i += 2) {
            if (fields[i + 1] != null) {
                line.put((String) fields[i], fields[i + 1]);
            }
        }
        byte[] bytes = (Json.write(line) + "\n").getBytes(StandardCharsets.UTF_8);
        try {
            synchronized (out) {
                out.write(bytes);
            }
        } catch (IOException e) {
            // nobody reads the log: there is nobody to tell
        }
    }

    /** What an exception says of itself and of its causes. */
    static String cause(Throwable t) {
        return t.toString();
    }

    /** The stack without the framework's own part. */
    static String stack(Throwable t) {
        StringWriter text = new StringWriter();
        t.printStackTrace(new PrintWriter(text));
        StringBuilder kept = new StringBuilder();
        for (String l : text.toString().split("\\R")) {
            if (!l.startsWith("\tat dev.openfunction.invoker.") && !l.startsWith("\tat java.base/jdk.internal.reflect.")) {
                kept.append(l).append('\n');
            }
        }
        return kept.toString();
    }
}
