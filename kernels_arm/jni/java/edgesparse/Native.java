package edgesparse;

import java.nio.Buffer;

/**
 * The functions of the native library. Text goes both ways as UTF-8 bytes, because JNI's own strings are another one.
 * Handles are those that an open function returned and no close function took yet; {@link NativeObject} sees to that.
 */
final class Native {
    static {
        String path = System.getProperty("edgesparse.library");
        if (path != null) System.load(path);
        else System.loadLibrary("edge_sparse_jni");
    }

    private Native() {}

    static native String version();

    static native String cpu();

    static native int cpuVariants();

    static native long openNetwork(
            byte[] path, Buffer memory, int fd, long offset, long length, byte[] plan, int threads, int variants);

    static native void closeNetwork(long network);

    static native void cancelNetwork(long network);

    static native int inputCount(long network);

    /** Returns dtype, bytes, nhwc, symbolic and the shape; null beyond the last port. */
    static native long[] port(long network, int number);

    static native byte[] portName(long network, int number);

    /** Returns null beyond the last label. */
    static native byte[] label(long network, int number);

    static native boolean endsInSoftmax(long network);

    /** Binds every port, inputs first, and runs. */
    static native void run(long network, Buffer[] buffers, long[] offsets, long[] bytes);

    static native void preprocess(long network, int[] argb, int width, int height, Buffer input, long bytes);

    static native void resetNetwork(long network);

    static native long openText(
            byte[] path, Buffer memory, int fd, long offset, long length, int threads, int variants, int[] sizes,
            float theta, float window);

    static native void closeText(long text);

    static native void cancelText(long text);

    static native int context(long text);

    static native int vocabulary(long text);

    static native double skipped(long text);

    static native int rewind(long text, int tokens);

    static native int[] encode(long text, byte[] utf8);

    static native byte[] decode(long text, int[] tokens);

    /** Returns finish, prompt, reused and generated tokens, rolls, seconds to the first token and from there. */
    static native double[] generate(
            long text, byte[] prompt, float[] sampling, int topK, long seed, int maxTokens, byte[][] stops,
            boolean roll, PieceSink sink);
}
