package edgesparse;

/** How a network runs. */
public final class Options {
    /** Plain C; only in libraries that were built with it, not in released ones. */
    public static final int SCALAR = 1;
    /** NEON of ARMv8.0, or SSE2. */
    public static final int VECTOR = 2;
    /** AVX2 and FMA. */
    public static final int AVX2 = 4;
    /** The dot product of ARMv8.2. */
    public static final int DOT_PRODUCT = 8;

    int threads = 1;
    int variants;
    String plan = "";

    /** Sets the number of threads, 1 to 256; 1 by default. Results do not depend on it. */
    public Options threads(int count) {
        threads = count;
        return this;
    }

    /** Sets which kernels may run; all that the processor can run by default. */
    public Options variants(int mask) {
        variants = mask;
        return this;
    }

    /** Names the plan of the file; the first by default. */
    public Options plan(String name) {
        plan = name;
        return this;
    }
}
