package edgesparse;

/** Gets the pieces of a generation from native code. */
interface PieceSink {
    /** Takes whole characters in UTF-8; returns whether to go on. */
    boolean piece(byte[] utf8);
}
