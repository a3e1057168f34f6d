package edgesparse;

/** How a language model runs. */
public final class TextOptions {
    /** Attention modes. */
    public enum Attention {
        /** Attention over all keys. */
        EXACT,
        /** Keys stored as changes; see docs/delta_attention.md. */
        DELTA
    }

    /** Types of cached keys and values. */
    public enum Cache {
        /** S8 for exact, F16 for delta attention. */
        DEFAULT(0),
        /** 32-bit floats. */
        F32(1),
        /** 16-bit floats. */
        F16(2),
        /** 8-bit integers with scales. */
        S8(3);

        final int dtype;

        Cache(int dtype) {
            this.dtype = dtype;
        }
    }

    int threads = 1;
    int variants;
    int context;
    int promptBytes;
    int sinks;
    Attention attention = Attention.EXACT;
    Cache cache = Cache.DEFAULT;
    float theta = Float.NaN;
    float window = Float.NaN;

    /** Sets the number of threads, 1 to 256; 1 by default. The text does not depend on it. */
    public TextOptions threads(int count) {
        threads = count;
        return this;
    }

    /** Sets which kernels may run, a sum of the constants of {@link Options}; all by default. */
    public TextOptions variants(int mask) {
        variants = mask;
        return this;
    }

    /** Sets how many tokens prompt and answer may have together; as the file says by default. Memory grows with it. */
    public TextOptions context(int tokens) {
        context = tokens;
        return this;
    }

    /** Sets the longest prompt in bytes; 8 for every token of the context by default. */
    public TextOptions promptBytes(int bytes) {
        promptBytes = bytes;
        return this;
    }

    /** Sets the type of cached keys and values. */
    public TextOptions cache(Cache type) {
        cache = type;
        return this;
    }

    /** Asks for exact attention, which is the default. */
    public TextOptions exact() {
        attention = Attention.EXACT;
        return this;
    }

    /**
     * Asks for delta attention: changes up to {@code theta} are not stored, the last {@code window} of the prompt (a
     * share) and the first {@code sinks} tokens are exact.
     */
    public TextOptions delta(float theta, float window, int sinks) {
        attention = Attention.DELTA;
        this.theta = theta;
        this.window = window;
        this.sinks = sinks;
        return this;
    }
}
