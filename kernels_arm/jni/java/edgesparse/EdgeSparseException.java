package edgesparse;

import java.nio.charset.StandardCharsets;

/** What went wrong, with the stable code of docs/format.md and of the Python package, and what to do next. */
public final class EdgeSparseException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final String code;
    private final String hint;

    EdgeSparseException(String code, String hint, String message) {
        super(code + ": " + message + (hint.isEmpty() ? "" : " (" + hint + ")"));
        this.code = code;
        this.hint = hint;
    }

    /** Called by native code, which has UTF-8; the strings that JNI makes itself are of another encoding. */
    EdgeSparseException(String code, String hint, byte[] message) {
        this(code, hint, new String(message, StandardCharsets.UTF_8));
    }

    /** Returns the stable name of the error, for example {@code FILE_TRUNCATED}. */
    public String code() {
        return code;
    }

    /** Returns what to do next, or an empty string. */
    public String hint() {
        return hint;
    }
}
