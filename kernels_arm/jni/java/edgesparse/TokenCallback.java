package edgesparse;

/** Gets text while it is generated, in the thread that generates. */
public interface TokenCallback {
    /** Takes a piece of text, whole characters, as soon as it is certain; returns whether to go on. */
    boolean onText(String piece);
}
