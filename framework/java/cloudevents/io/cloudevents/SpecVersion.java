package io.cloudevents;

import java.util.HashSet;
import java.util.Set;

public enum SpecVersion {
    V03("0.3", Set.of("datacontenttype", "datacontentencoding", "schemaurl", "subject", "time")),
    V1("1.0", Set.of("datacontenttype", "dataschema", "subject", "time"));

    private static final Set<String> MANDATORY = Set.of("specversion", "id", "type", "source");

    private final String text;
    private final Set<String> optional;

    SpecVersion(String text, Set<String> optional) {
        this.text = text;
        this.optional = optional;
    }

    @Override
    public String toString() {
        return text;
    }

    public static SpecVersion parse(String text) {
        for (SpecVersion v : values()) {
            if (v.text.equals(text)) {
                return v;
            }
        }
        throw new IllegalArgumentException("there is no specversion " + text);
    }

    public Set<String> getMandatoryAttributes() {
        return MANDATORY;
    }

    public Set<String> getOptionalAttributes() {
        return optional;
    }

    public Set<String> getAllAttributes() {
        Set<String> all = new HashSet<>(MANDATORY);
        all.addAll(optional);
        return all;
    }
}
