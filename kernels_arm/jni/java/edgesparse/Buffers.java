package edgesparse;

import java.nio.Buffer;

/** The memory of all ports of one run. */
final class Buffers {
    private final Buffer[] buffers;
    private final long[] offsets;
    private final long[] bytes;
    private int count;

    Buffers(int ports) {
        buffers = new Buffer[ports];
        offsets = new long[ports];
        bytes = new long[ports];
    }

    void add(Buffer buffer, long offset, long length) {
        buffers[count] = buffer;
        offsets[count] = offset;
        bytes[count++] = length;
    }

    void run(long network) {
        Native.run(network, buffers, offsets, bytes);
    }
}
