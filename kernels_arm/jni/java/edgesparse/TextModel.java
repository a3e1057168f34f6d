package edgesparse;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * A language model. Made by {@link EdgeSparse#loadText}; threads as in {@link EdgeSparse}. Do not call it from the
 * thread that draws the screen: a generation takes seconds.
 */
public final class TextModel extends NativeObject {
    /** A file in memory must live as long as the model that reads it. */
    private final ByteBuffer memory;

    private TextModel(long handle, ByteBuffer memory) {
        super(handle);
        this.memory = memory;
    }

    static TextModel open(Source source, TextOptions options) {
        int[] sizes = {
            options.context, options.promptBytes, options.attention.ordinal(), options.cache.dtype, options.sinks
        };
        long handle = Native.openText(
                source.path, source.memory, source.fd, source.offset, source.length, options.threads, options.variants,
                sizes, options.theta, options.window);
        return new TextModel(handle, source.memory);
    }

    /** Generates without a callback. */
    public Generation generate(String prompt, GenerateOptions options) {
        return generate(prompt, options, null);
    }

    /**
     * Continues a text. The beginning that the prompt shares with what the model read last is not computed again.
     *
     * @param callback gets every piece in this thread; may be null. What it throws ends the generation.
     * @return the text and its statistics; with {@link Generation.Finish#CANCELLED} what there was until then
     */
    public Generation generate(String prompt, GenerateOptions options, TokenCallback callback) {
        byte[] utf8 = prompt.getBytes(StandardCharsets.UTF_8);
        StringBuilder text = new StringBuilder();
        PieceSink sink = bytes -> {
            String piece = new String(bytes, StandardCharsets.UTF_8);
            text.append(piece);
            return (callback == null || callback.onText(piece)) && !isCancelled();
        };
        return use(handle -> {
            Generation generation;
            do {
                double[] values = Native.generate(
                        handle, utf8, options.sampling, options.topK, options.seed, options.maxTokens, options.stops,
                        options.roll, sink);
                generation = new Generation(text.toString(), values);
            } while (wasStale(generation));
            return generation;
        });
    }

    /** Says whether a cancel that came just after the end of an earlier generation ended this one before it began. */
    private boolean wasStale(Generation generation) {
        return generation.finish == Generation.Finish.CANCELLED && generation.text.isEmpty() && !isCancelled();
    }

    /** Ends the generation in progress, which then returns what there is; does nothing if there is none. */
    @Override
    public void cancel() {
        super.cancel();
    }

    /** Returns how many tokens prompt and answer may have together. */
    public int context() {
        return use(Native::context);
    }

    /** Returns the number of different tokens. */
    public int vocabulary() {
        return use(Native::vocabulary);
    }

    /** Returns the tokens of a text. */
    public int[] encode(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        return use(handle -> Native.encode(handle, utf8));
    }

    /** Returns the text of tokens. */
    public String decode(int[] tokens) {
        return new String(use(handle -> Native.decode(handle, tokens)), StandardCharsets.UTF_8);
    }

    /** Forgets what the model read; only time changes by that, never a text. */
    public void forget() {
        use(handle -> Native.rewind(handle, 0));
    }

    /** Returns the share of stored keys that delta attention need not look at now; 0 for exact attention. */
    public double skipped() {
        return use(Native::skipped);
    }

    @Override
    void cancelNative(long handle) {
        Native.cancelText(handle);
    }

    @Override
    void closeNative(long handle) {
        Native.closeText(handle);
    }
}
