package dev.openfunction.invoker;

import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Converts between JSON and the values of typed functions. */
final class Binding {
    private Binding() {}

    /** Converts JSON to a type; at names the member for messages. */
    static Object read(Object v, Type type, String at) throws Json.Wrong {
        Class<?> c = raw(type);
        if (v == null) {
            return c.isPrimitive() ? zero(c) : c == Optional.class ? Optional.empty() : null;
        }
        if (c == Object.class) {
            return v;
        }
        if (c == Optional.class) {
            return Optional.of(read(v, argument(type, 0), at));
        }
        if (c == String.class || c == CharSequence.class) {
            return v instanceof String ? v : wrong(v, "a string", at);
        }
        if (c == boolean.class || c == Boolean.class) {
            return v instanceof Boolean ? v : wrong(v, "a boolean", at);
        }
        if (c.isPrimitive() || Number.class.isAssignableFrom(c)) {
            return number(v, c, at);
        }
        if (c.isEnum()) {
            return constant(v, c, at);
        }
        if (c.isArray() || Collection.class.isAssignableFrom(c) || c == Iterable.class) {
            return list(v, type, c, at);
        }
        if (!(v instanceof Map<?, ?> m)) {
            return wrong(v, "an object", at);
        }
        Map<String, Object> members = FunctionContext.cast(m);
        if (Map.class.isAssignableFrom(c)) {
            Map<String, Object> out = new LinkedHashMap<>();
            for (Map.Entry<String, Object> e : members.entrySet()) {
                out.put(e.getKey(), read(e.getValue(), argument(type, 1), member(at, e.getKey())));
            }
            return out;
        }
        return object(members, c, at);
    }

    private static String member(String at, String name) {
        return at.isEmpty() ? name : at + "." + name;
    }

    private static Object wrong(Object v, String wanted, String at) throws Json.Wrong {
        String got = v instanceof Map ? "an object" : v instanceof List ? "an array" : v instanceof String ? "a string" : v instanceof Number ? "a number" : "a boolean";
        throw new Json.Wrong((at.isEmpty() ? "it is " : at + " is ") + got + ", but " + wanted + " is needed");
    }

    private static Object number(Object v, Class<?> c, String at) throws Json.Wrong {
        if (c == char.class) {
            return v instanceof String s && s.length() == 1 ? s.charAt(0) : wrong(v, "a string of one character", at);
        }
        if (!(v instanceof Number)) {
            return wrong(v, "a number", at);
        }
        BigDecimal n = new BigDecimal(v.toString());
        try {
            return switch (c.getSimpleName()) {
                case "int", "Integer" -> n.intValueExact();
                case "long", "Long" -> n.longValueExact();
                case "short", "Short" -> n.shortValueExact();
                case "byte", "Byte" -> n.byteValueExact();
                case "double", "Double" -> n.doubleValue();
                case "float", "Float" -> n.floatValue();
                case "BigInteger" -> n.precision() - n.scale() > 1000 ? wrong(v, "a smaller number", at) : n.toBigIntegerExact();
                default -> c.isAssignableFrom(BigDecimal.class) ? n : wrong(v, c.getSimpleName(), at);
            };
        } catch (ArithmeticException e) {
            throw new Json.Wrong((at.isEmpty() ? "it" : at) + " is " + (n.precision() > 40 ? "a number" : v) + ", which is no " + c.getSimpleName());
        }
    }

    private static Object zero(Class<?> c) {
        return Array.get(Array.newInstance(c, 1), 0);
    }

    private static Object constant(Object v, Class<?> c, String at) throws Json.Wrong {
        for (Object e : c.getEnumConstants()) {
            if (((Enum<?>) e).name().equals(v)) {
                return e;
            }
        }
        return wrong(v, "one of " + List.of(c.getEnumConstants()), at);
    }

    private static Object list(Object v, Type type, Class<?> c, String at) throws Json.Wrong {
        if (!(v instanceof List<?> l)) {
            return wrong(v, "an array", at);
        }
        Type element = c.isArray() ? c.getComponentType() : argument(type, 0);
        List<Object> out = new ArrayList<>();
        for (Object e : l) {
            out.add(read(e, element, at + "[" + out.size() + "]"));
        }
        if (c.isArray()) {
            Object array = Array.newInstance(c.getComponentType(), out.size());
            for (int i = 0; i < out.size(); i++) {
                Array.set(array, i, out.get(i));
            }
            return array;
        }
        return Set.class.isAssignableFrom(c) ? new LinkedHashSet<>(out) : out;
    }

    private static Object object(Map<String, Object> m, Class<?> c, String at) throws Json.Wrong {
        try {
            if (c.isRecord()) {
                RecordComponent[] parts = c.getRecordComponents();
                Object[] values = new Object[parts.length];
                Class<?>[] types = new Class<?>[parts.length];
                for (int i = 0; i < parts.length; i++) {
                    types[i] = parts[i].getType();
                    values[i] = read(m.get(parts[i].getName()), parts[i].getGenericType(), member(at, parts[i].getName()));
                }
                Constructor<?> make = c.getDeclaredConstructor(types);
                make.setAccessible(true);
                return make.newInstance(values);
            }
            Constructor<?> make = c.getDeclaredConstructor();
            make.setAccessible(true);
            Object o = make.newInstance();
            for (Field f : fields(c)) {
                if (m.containsKey(f.getName())) {
                    f.set(o, read(m.get(f.getName()), f.getGenericType(), member(at, f.getName())));
                }
            }
            return o;
        } catch (InvocationTargetException e) { // a record that refuses its values
            throw new Json.Wrong((at.isEmpty() ? "" : at + ": ") + e.getCause());
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(c.getName() + " cannot be made of JSON: it needs to be a record, or have a constructor without parameters", e);
        }
    }

    private static List<Field> fields(Class<?> c) {
        List<Field> all = new ArrayList<>();
        for (; c != null && c != Object.class; c = c.getSuperclass()) {
            for (Field f : c.getDeclaredFields()) {
                if (!Modifier.isStatic(f.getModifiers()) && !Modifier.isTransient(f.getModifiers()) && !f.isSynthetic()) {
                    f.setAccessible(true);
                    all.add(f);
                }
            }
        }
        return all;
    }

    private static Class<?> raw(Type t) {
        return t instanceof Class<?> c ? c : t instanceof ParameterizedType p ? raw(p.getRawType()) : Object.class;
    }

    private static Type argument(Type t, int i) {
        return t instanceof ParameterizedType p && p.getActualTypeArguments().length > i ? p.getActualTypeArguments()[i] : Object.class;
    }

    /** Converts a value to maps, lists and simple values. */
    static Object write(Object v) throws ReflectiveOperationException {
        if (v == null || v instanceof String || v instanceof Number || v instanceof Boolean || v instanceof BigInteger) {
            return v;
        }
        if (v instanceof Optional<?> o) {
            return write(o.orElse(null));
        }
        if (v instanceof Map<?, ?> m) {
            Map<String, Object> out = new LinkedHashMap<>();
            for (Map.Entry<?, ?> e : m.entrySet()) {
                out.put(String.valueOf(e.getKey()), write(e.getValue()));
            }
            return out;
        }
        if (v instanceof Iterable<?> l) {
            List<Object> out = new ArrayList<>();
            for (Object e : l) {
                out.add(write(e));
            }
            return out;
        }
        if (v.getClass().isArray()) {
            List<Object> out = new ArrayList<>();
            for (int i = 0; i < Array.getLength(v); i++) {
                out.add(write(Array.get(v, i)));
            }
            return out;
        }
        if (v instanceof Enum<?> e) {
            return e.name();
        }
        return v.getClass().getName().startsWith("java.") ? v.toString() : members(v);
    }

    private static Object members(Object v) throws ReflectiveOperationException {
        Map<String, Object> out = new LinkedHashMap<>();
        if (v instanceof Record) {
            for (RecordComponent c : v.getClass().getRecordComponents()) {
                c.getAccessor().setAccessible(true);
                out.put(c.getName(), write(c.getAccessor().invoke(v)));
            }
            return out;
        }
        for (Field f : fields(v.getClass())) {
            out.put(f.getName(), write(f.get(v)));
        }
        return out;
    }
}
