package dev.openfunction.invoker;

import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON as the contract wants it: maps in the order of their members, lists, strings, numbers as Long, Double or BigDecimal, booleans, null. The
 * framework brings no library for it because a function may bring another version of the same.
 */
final class Json {
    /** What is wrong with a text, on one line. */
    static final class Wrong extends Exception {
        private static final long serialVersionUID = 1;

        Wrong(String message) {
            super(message, null, false, false);
        }
    }

    private static final int DEEPEST = 500;

    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    /** Parses one value that is UTF-8. */
    static Object parse(byte[] data) throws Wrong {
        try {
            return parse(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(data)).toString());
        } catch (CharacterCodingException e) {
            throw new Wrong("it is not UTF-8");
        }
    }

    static Object parse(String text) throws Wrong {
        Json j = new Json(text);
        j.space();
        Object v = j.value();
        j.space();
        if (j.at < text.length()) {
            throw j.unexpected();
        }
        return v;
    }

    private Wrong unexpected() {
        if (at >= text.length()) {
            return new Wrong("it ends too early, after " + at + " characters");
        }
        char c = text.charAt(at);
        return new Wrong("unexpected " + (c < ' ' ? "control character" : "'" + c + "'") + " at character " + (at + 1));
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private Object value() throws Wrong {
        if (at >= text.length()) {
            throw unexpected();
        }
        char c = text.charAt(at);
        switch (c) {
            case '{':
                return object();
            case '[':
                return array();
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Object word(String word, Object value) throws Wrong {
        if (!text.startsWith(word, at)) {
            throw unexpected();
        }
        at += word.length();
        return value;
    }

    private void deeper() throws Wrong {
        at++;
        if (++depth > DEEPEST) {
            throw new Wrong("it is nested deeper than " + DEEPEST + " levels");
        }
        space();
    }

    private boolean ends(char c) {
        if (at < text.length() && text.charAt(at) == c) {
            at++;
            depth--;
            return true;
        }
        return false;
    }

    private void expect(char c) throws Wrong {
        if (at >= text.length() || text.charAt(at) != c) {
            throw unexpected();
        }
        at++;
        space();
    }

    private Map<String, Object> object() throws Wrong {
        Map<String, Object> m = new LinkedHashMap<>();
        deeper();
        if (ends('}')) {
            return m;
        }
        while (true) {
            if (at >= text.length() || text.charAt(at) != '"') {
                throw unexpected();
            }
            String name = string();
            space();
            expect(':');
            m.put(name, value());
            space();
            if (ends('}')) {
                return m;
            }
            expect(',');
        }
    }

    private List<Object> array() throws Wrong {
        List<Object> l = new ArrayList<>();
        deeper();
        if (ends(']')) {
            return l;
        }
        while (true) {
            l.add(value());
            space();
            if (ends(']')) {
                return l;
            }
            expect(',');
        }
    }

    private String string() throws Wrong {
        int begin = ++at;
        StringBuilder b = null;
        while (at < text.length()) {
            char c = text.charAt(at);
            if (c == '"') {
                String s = b == null ? text.substring(begin, at) : b.toString();
                at++;
                return s;
            }
            if (c < ' ') {
                throw unexpected();
            }
            if (c == '\\') {
                if (b == null) {
                    b = new StringBuilder(text.substring(begin, at));
                }
                b.append(escape());
            } else {
                if (b != null) {
                    b.append(c);
                }
                at++;
            }
        }
        throw unexpected();
    }

    private char escape() throws Wrong {
        at++;
        if (at >= text.length()) {
            throw unexpected();
        }
        int which = "\"\\/bfnrt".indexOf(text.charAt(at));
        if (which >= 0) {
            at++;
            return "\"\\/\b\f\n\r\t".charAt(which);
        }
        if (text.charAt(at) != 'u' || at + 5 > text.length()) {
            throw unexpected();
        }
        int code = 0;
        for (int i = 1; i <= 4; i++) {
            int d = Character.digit(text.charAt(at + i), 16);
            if (d < 0 || text.charAt(at + i) > 'f') {
                throw unexpected();
            }
            code = code * 16 + d;
        }
        at += 5;
        return (char) code;
    }

    private Object number() throws Wrong {
        int begin = at;
        boolean whole = true;
        if (peek() == '-') {
            at++;
        }
        if (peek() == '0') {
            at++;
        } else {
            someDigits();
        }
        if (peek() == '.') {
            whole = false;
            at++;
            someDigits();
        }
        if (peek() == 'e' || peek() == 'E') {
            whole = false;
            at++;
            if (peek() == '+' || peek() == '-') {
                at++;
            }
            someDigits();
        }
        String s = text.substring(begin, at);
        if (whole && s.length() < 19) {
            return Long.valueOf(s);
        }
        try {
            return new BigDecimal(s);
        } catch (NumberFormatException e) { // an exponent beyond all bounds
            throw new Wrong("the number at character " + (begin + 1) + " is too large");
        }
    }

    private char peek() {
        return at < text.length() ? text.charAt(at) : 0;
    }

    private void someDigits() throws Wrong {
        if (peek() < '0' || peek() > '9') {
            throw unexpected();
        }
        while (peek() >= '0' && peek() <= '9') {
            at++;
        }
    }

    /** Writes a value compactly. */
    static String write(Object v) {
        StringBuilder b = new StringBuilder();
        write(b, v);
        return b.toString();
    }

    private static void write(StringBuilder b, Object v) {
        if (v == null || v instanceof Boolean || v instanceof Number) {
            b.append(finite(v));
        } else if (v instanceof Map<?, ?> m) {
            char c = '{';
            for (Map.Entry<?, ?> e : m.entrySet()) {
                b.append(c);
                quote(b, String.valueOf(e.getKey()));
                b.append(':');
                write(b, e.getValue());
                c = ',';
            }
            b.append(c == '{' ? "{}" : "}");
        } else if (v instanceof Iterable<?> l) {
            char c = '[';
            for (Object e : l) {
                b.append(c);
                write(b, e);
                c = ',';
            }
            b.append(c == '[' ? "[]" : "]");
        } else {
            quote(b, v.toString());
        }
    }

    private static Object finite(Object v) {
        return v instanceof Double d && !Double.isFinite(d) || v instanceof Float f && !Float.isFinite(f) ? null : v;
    }

    private static void quote(StringBuilder b, String s) {
        b.append('"');
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            int which = "\"\\\b\f\n\r\t".indexOf(c);
            if (which >= 0) {
                b.append('\\').append("\"\\bfnrt".charAt(which));
            } else if (c < ' ' || Character.isSurrogate(c) && !paired(s, i)) {
                b.append(String.format("\\u%04x", (int) c));
            } else {
                b.append(c);
            }
        }
        b.append('"');
    }

    private static boolean paired(String s, int i) {
        char c = s.charAt(i);
        return Character.isHighSurrogate(c) ? i + 1 < s.length() && Character.isLowSurrogate(s.charAt(i + 1))
                : i > 0 && Character.isHighSurrogate(s.charAt(i - 1));
    }
}
