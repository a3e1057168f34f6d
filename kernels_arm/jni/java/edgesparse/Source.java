package edgesparse;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Where a file's bytes are. */
final class Source {
    final byte[] path;
    final ByteBuffer memory;
    final int fd;
    final long offset;
    final long length;

    private Source(byte[] path, ByteBuffer memory, int fd, long offset, long length) {
        this.path = path;
        this.memory = memory;
        this.fd = fd;
        this.offset = offset;
        this.length = length;
    }

    static Source of(String path) {
        if (path.indexOf('\0') >= 0) throw new IllegalArgumentException("a path with a zero character");
        return new Source(path.getBytes(StandardCharsets.UTF_8), null, -1, 0, 0);
    }

    static Source of(ByteBuffer memory) {
        if (!memory.isDirect()) throw new IllegalArgumentException("pass a direct buffer, or a path");
        return new Source(null, memory, -1, memory.position(), memory.remaining());
    }

    static Source of(int fd, long offset, long length) {
        if (fd < 0 || offset < 0 || length < 0)
            throw new IllegalArgumentException("descriptor " + fd + ", offset " + offset + ", length " + length);
        return new Source(null, null, fd, offset, length);
    }
}
