package dev.openfunction.invoker;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;

/** What texts of requests and answers are. */
final class Text {
    private Text() {}

    /** An id for humans to find a line by; nobody's secret. */
    static String randomHex(int digits) {
        StringBuilder b = new StringBuilder(digits);
        while (b.length() < digits) {
            String s = Long.toHexString(ThreadLocalRandom.current().nextLong());
            b.append("0".repeat(16 - s.length())).append(s);
        }
        return b.substring(0, digits);
    }

    /** The charset of a content type, when it is one that is known here. */
    static Optional<String> charset(String contentType) {
        int at = contentType == null ? -1 : contentType.toLowerCase(Locale.ROOT).indexOf("charset=");
        if (at < 0) {
            return Optional.empty();
        }
        String name = contentType.substring(at + 8);
        int semicolon = name.indexOf(';');
        name = (semicolon < 0 ? name : name.substring(0, semicolon)).trim().replace("\"", "");
        try {
            return Charset.isSupported(name) ? Optional.of(name) : Optional.empty();
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    /** Bytes as UTF-8 text, or null. */
    static String utf8(byte[] data) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(data)).toString();
        } catch (CharacterCodingException e) {
            return null;
        }
    }

    /** The content type of data that nobody named one for. */
    static String typeOf(byte[] data) {
        String s = utf8(data);
        boolean plain = s != null && s.chars().noneMatch(c -> c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7F);
        return plain ? "text/plain; charset=utf-8" : "application/octet-stream";
    }

    /** Does data of this media type have the form of JSON? */
    static boolean isJson(String mediaType) {
        return mediaType.equals("application/json") || mediaType.equals("text/json") || mediaType.endsWith("+json");
    }
}
