package dev.openfunction.functions;

import java.nio.ByteBuffer;
import java.util.Map;

/** What a function of the openfunction signature answers. */
public class Out {
    private int code;
    private Error error;
    private ByteBuffer data;
    private Map<String, String> metadata;

    public Out() {}

    public Out(int code, Error error, ByteBuffer data, Map<String, String> metadata) {
        this.code = code;
        this.error = error;
        this.data = data;
        this.metadata = metadata;
    }

    /** The status; 0 is 200. */
    public int getCode() {
        return code;
    }

    public Out setCode(int code) {
        this.code = code;
        return this;
    }

    public ByteBuffer getData() {
        return data;
    }

    public Out setData(ByteBuffer data) {
        this.data = data;
        return this;
    }

    public Map<String, String> getMetadata() {
        return metadata;
    }

    public Out setMetadata(Map<String, String> metadata) {
        this.metadata = metadata;
        return this;
    }

    /** Why the call failed; null when it did not. */
    public Error getError() {
        return error;
    }

    public Out setError(Error error) {
        this.error = error;
        return this;
    }
}
