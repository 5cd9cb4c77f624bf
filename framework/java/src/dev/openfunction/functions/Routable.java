package dev.openfunction.functions;

/** A function that is served at a path and for methods of its own. */
public abstract class Routable {
    public static final String METHOD_DELETE = "DELETE";
    public static final String METHOD_HEAD = "HEAD";
    public static final String METHOD_GET = "GET";
    public static final String METHOD_PATCH = "PATCH";
    public static final String METHOD_POST = "POST";
    public static final String METHOD_PUT = "PUT";

    /** The methods that it is called for; null or none means all. */
    public String[] getMethods() {
        return new String[] {METHOD_DELETE, METHOD_GET, METHOD_PATCH, METHOD_HEAD, METHOD_PUT, METHOD_POST};
    }

    /** A pattern such as {@code /hello/{name}} or {@code /{id:[0-9]+}}. */
    public String getPath() {
        return "/";
    }

    /** What the function is called in the log and in the header of answers where several are served. */
    public String getName() {
        return getClass().getSimpleName();
    }
}
