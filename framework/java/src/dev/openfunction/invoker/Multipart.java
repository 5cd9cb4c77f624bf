package dev.openfunction.invoker;

import dev.openfunction.functions.HttpRequest.HttpPart;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Parts of a form with files. */
final class Multipart {
    private Multipart() {}

    static Map<String, HttpPart> parse(String contentType, byte[] body) {
        String boundary = parameter(contentType, "boundary");
        if (boundary == null || !contentType.trim().toLowerCase(java.util.Locale.ROOT).startsWith("multipart/")) {
            throw new IllegalStateException("the request has no parts: its content type is " + contentType);
        }
        String text = "\r\n" + new String(body, StandardCharsets.ISO_8859_1);
        String mark = "\r\n--" + boundary;
        Map<String, HttpPart> parts = new LinkedHashMap<>();
        for (int at = text.indexOf(mark); at >= 0;) {
            int begin = at + mark.length();
            int next = text.indexOf(mark, begin);
            if (next < 0 || text.startsWith("--", begin)) {
                break;
            }
            int head = text.indexOf("\r\n", begin) + 2;
            int end = text.indexOf("\r\n\r\n", head - 2);
            if (end >= 0 && end <= next) {
                Part p = new Part(text.substring(Math.min(head, end), end), text.substring(Math.min(end + 4, next), next));
                String name = parameter(p.getFirstHeader("Content-Disposition").orElse(""), "name");
                if (name != null) {
                    parts.putIfAbsent(name, p);
                }
            }
            at = next;
        }
        return parts;
    }

    private static String parameter(String header, String name) {
        for (String p : header == null ? new String[0] : header.split(";")) {
            String[] pair = p.trim().split("=", 2);
            if (pair.length == 2 && pair[0].equalsIgnoreCase(name)) {
                String v = pair[1];
                return v.length() > 1 && v.startsWith("\"") && v.endsWith("\"") ? v.substring(1, v.length() - 1) : v;
            }
        }
        return null;
    }

    private static final class Part implements HttpPart {
        private final Map<String, List<String>> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        private final byte[] content;

        Part(String head, String content) {
            for (String line : head.split("\r\n")) {
                int colon = line.indexOf(':');
                if (colon > 0) {
                    String value = new String(line.substring(colon + 1).trim().getBytes(StandardCharsets.ISO_8859_1), StandardCharsets.UTF_8);
                    headers.computeIfAbsent(line.substring(0, colon), k -> new ArrayList<>(1)).add(value);
                }
            }
            this.content = content.getBytes(StandardCharsets.ISO_8859_1);
        }

        @Override
        public Optional<String> getFileName() {
            return Optional.ofNullable(parameter(getFirstHeader("Content-Disposition").orElse(""), "filename"));
        }

        @Override
        public Optional<String> getContentType() {
            return getFirstHeader("Content-Type");
        }

        @Override
        public long getContentLength() {
            return content.length;
        }

        @Override
        public Optional<String> getCharacterEncoding() {
            return Text.charset(getContentType().orElse(null));
        }

        @Override
        public InputStream getInputStream() {
            return new ByteArrayInputStream(content);
        }

        @Override
        public BufferedReader getReader() {
            return new BufferedReader(new InputStreamReader(getInputStream(), getCharacterEncoding().map(Charset::forName).orElse(StandardCharsets.UTF_8)));
        }

        @Override
        public Map<String, List<String>> getHeaders() {
            return headers;
        }
    }
}
