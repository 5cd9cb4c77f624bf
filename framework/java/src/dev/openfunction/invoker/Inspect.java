package dev.openfunction.invoker;

import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Enumeration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Stream;

/** Tells the builder which functions and programs are in classes, without running any of them. Arguments: the file for the result, then jars and directories. */
public final class Inspect {
    private final List<Object> functions = new ArrayList<>();
    private final List<Object> mains = new ArrayList<>();
    private final List<Object> broken = new ArrayList<>();

    private Inspect() {}

    public static void main(String[] args) throws IOException {
        Inspect i = new Inspect();
        TreeSet<String> names = new TreeSet<>();
        for (int a = 1; a < args.length; a++) {
            names.addAll(classes(Path.of(args[a])));
        }
        names.forEach(i::look);
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("functions", i.functions);
        out.put("mains", i.mains);
        out.put("broken", i.broken);
        Files.writeString(Path.of(args[0]), Json.write(out));
    }

    private static List<String> classes(Path at) throws IOException {
        List<String> names = new ArrayList<>();
        if (Files.isDirectory(at)) {
            try (Stream<Path> files = Files.walk(at)) {
                files.filter(Files::isRegularFile).forEach(f -> name(at.relativize(f).toString(), names));
            }
            return names;
        }
        try (JarFile jar = new JarFile(at.toFile())) {
            for (Enumeration<JarEntry> e = jar.entries(); e.hasMoreElements();) {
                name(e.nextElement().getName(), names);
            }
        }
        return names;
    }

    private static void name(String file, List<String> names) {
        if (file.endsWith(".class") && !file.endsWith("-info.class") && !file.startsWith("META-INF/") && !file.startsWith("BOOT-INF/")) {
            names.add(file.substring(0, file.length() - ".class".length()).replace('/', '.'));
        }
    }

    private void look(String name) {
        try {
            Class<?> c = Class.forName(name, false, ClassLoader.getSystemClassLoader());
            if (!c.isInterface() && !Modifier.isAbstract(c.getModifiers()) && !c.isAnonymousClass()) {
                List<String> kinds = Functions.kinds(c);
                if (!kinds.isEmpty() && !name.startsWith("dev.openfunction.invoker.")) {
                    functions.add(function(c, kinds));
                }
            }
            Method main = c.getDeclaredMethod("main", String[].class);
            if (Modifier.isStatic(main.getModifiers()) && Modifier.isPublic(main.getModifiers())) {
                mains.add(name);
            }
        } catch (NoSuchMethodException e) {
            // most classes are no programs
        } catch (ClassNotFoundException | LinkageError e) {
            broken.add(Map.of("class", name, "error", String.valueOf(e)));
        }
    }

    private static Object function(Class<?> c, List<String> kinds) {
        Map<String, Object> f = new LinkedHashMap<>();
        f.put("class", c.getName());
        f.put("kinds", kinds);
        f.put("routable", dev.openfunction.functions.Routable.class.isAssignableFrom(c));
        boolean inner = c.isMemberClass() && !Modifier.isStatic(c.getModifiers());
        try {
            c.getDeclaredConstructor();
        } catch (NoSuchMethodException e) {
            f.put("problem", inner ? "is an inner class that is not static" : "has no constructor without parameters");
        }
        return f;
    }
}
