package dev.openfunction.invoker;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/** Percent-encoding of paths, queries and ce- headers. */
final class Percent {
    private Percent() {}

    /** Decodes a path, whose characters are bytes; what is not UTF-8 afterwards stays as it is. */
    static String decode(String s) {
        byte[] raw = s.getBytes(StandardCharsets.ISO_8859_1);
        String decoded = Text.utf8(s.indexOf('%') < 0 ? raw : bytes(s, false));
        if (decoded != null) {
            return decoded;
        }
        String plain = Text.utf8(raw);
        return plain == null ? s : plain;
    }

    /** Decodes a part of a query, where plus is a space. */
    static String decodeForm(String s) {
        String decoded = Text.utf8(bytes(s, true));
        return decoded == null ? s : decoded;
    }

    private static byte[] bytes(String s, boolean plus) {
        ByteArrayOutputStream b = new ByteArrayOutputStream(s.length());
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c == '%' && i + 2 < s.length() && Character.digit(s.charAt(i + 1), 16) >= 0 && Character.digit(s.charAt(i + 2), 16) >= 0) {
                b.write(Character.digit(s.charAt(i + 1), 16) * 16 + Character.digit(s.charAt(i + 2), 16));
                i += 2;
            } else {
                b.write(plus && c == '+' ? ' ' : c);
            }
        }
        return b.toByteArray();
    }

    /** Encodes the value of a ce- header. */
    static String encode(String s) {
        StringBuilder b = null;
        byte[] raw = s.getBytes(StandardCharsets.UTF_8);
        for (int i = 0; i < raw.length; i++) {
            boolean plain = raw[i] > 0x20 && raw[i] < 0x7F && raw[i] != '"' && raw[i] != '%';
            if (!plain && b == null) {
                b = new StringBuilder(s.substring(0, i));
            }
            if (b != null) {
                if (plain) {
                    b.append((char) raw[i]);
                } else {
                    b.append('%').append(Character.toUpperCase(Character.forDigit(raw[i] >> 4 & 15, 16))).append(Character.toUpperCase(Character.forDigit(raw[i] & 15, 16)));
                }
            }
        }
        return b == null ? s : b.toString();
    }
}
