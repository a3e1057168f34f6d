package edgesparse;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.ShortBuffer;

/** Memory of one port: an own buffer for arrays, or the caller's direct buffer. */
final class PortMemory {
    final Port port;
    private ByteBuffer own = ByteBuffer.allocateDirect(0);
    private Buffer bound;

    PortMemory(Port port) {
        this.port = port;
    }

    /** Returns the own buffer with room for some bytes. It grows as needed: a symbolic port may never need all. */
    ByteBuffer own(long bytes) {
        if (own.capacity() < bytes) {
            if (bytes > Integer.MAX_VALUE)
                throw new EdgeSparseException("MEMORY_EXHAUSTED", "bind a smaller run", port + " is over 2 GiB");
            own = ByteBuffer.allocateDirect((int) bytes).order(ByteOrder.nativeOrder());
        }
        return own;
    }

    /** Copies an array in and returns its bytes. */
    long put(Object array) {
        if (port.type == Port.Type.F32 && array instanceof float[]) {
            float[] values = (float[]) array;
            floats(check(values.length)).put(values);
            return 4L * values.length;
        }
        if (port.type == Port.Type.S32 && array instanceof int[]) {
            int[] values = (int[]) array;
            ints(check(values.length)).put(values);
            return 4L * values.length;
        }
        if (port.type == Port.Type.F16 && array instanceof short[]) {
            short[] values = (short[]) array;
            shorts(check(values.length)).put(values);
            return 2L * values.length;
        }
        if (port.type.bytes == 1 && array instanceof byte[]) {
            byte[] values = (byte[]) array;
            bytes(check(values.length)).put(values);
            return values.length;
        }
        String found = array == null ? "null" : array.getClass().getSimpleName();
        throw new EdgeSparseException("INPUT_DTYPE", "pass the array that Port.Type names", port + " got " + found);
    }

    /** Returns a new array with what the network wrote. */
    Object get(long bytes) {
        int count = (int) (bytes / port.type.bytes);
        switch (port.type) {
            case F32:
                float[] values = new float[count];
                floats(bytes).get(values);
                return values;
            case S32:
                int[] numbers = new int[count];
                ints(bytes).get(numbers);
                return numbers;
            case F16:
                short[] halves = new short[count];
                shorts(bytes).get(halves);
                return halves;
            default:
                byte[] small = new byte[count];
                bytes(bytes).get(small);
                return small;
        }
    }

    FloatBuffer floats(long bytes) {
        return bytes(bytes).asFloatBuffer();
    }

    /** Keeps a direct buffer of the caller for runs without arrays. */
    void bind(Buffer buffer) {
        int size = elementBytes(buffer);
        if (!buffer.isDirect()) throw new IllegalArgumentException("bind a direct buffer");
        if (size > 1 && size != port.type.bytes || buffer instanceof FloatBuffer && port.type != Port.Type.F32)
            throw new EdgeSparseException("INPUT_DTYPE", "bind the buffer type that Port.Type names", port.toString());
        if (order(buffer) != ByteOrder.nativeOrder())
            throw new EdgeSparseException("INPUT_DTYPE", "order(ByteOrder.nativeOrder())", port + ", foreign order");
        bound = buffer;
    }

    Buffer bound() {
        if (bound == null)
            throw new EdgeSparseException("INPUT_MISSING", "bind all inputs and outputs", port.name + " is not bound");
        return bound;
    }

    long boundOffset() {
        return (long) bound().position() * elementBytes(bound);
    }

    long boundBytes() {
        return (long) bound().remaining() * elementBytes(bound);
    }

    private long check(int count) {
        long bytes = (long) count * port.type.bytes;
        boolean rows = count > 0 && bytes <= port.bytes && bytes % port.rowBytes() == 0;
        boolean fits = port.symbolic ? rows : bytes == port.bytes;
        if (fits) return bytes;
        String wanted = port.symbolic ? "whole rows up to " : "";
        String message = port.name + " has " + count + " elements, not " + wanted + port.elements();
        throw new EdgeSparseException("INPUT_SHAPE", "see Port.shape", message);
    }

    private ByteBuffer bytes(long bytes) {
        ByteBuffer view = own(bytes).duplicate().order(ByteOrder.nativeOrder());
        view.limit((int) bytes);
        return view;
    }

    private IntBuffer ints(long bytes) {
        return bytes(bytes).asIntBuffer();
    }

    private ShortBuffer shorts(long bytes) {
        return bytes(bytes).asShortBuffer();
    }

    private static int elementBytes(Buffer buffer) {
        if (buffer instanceof ByteBuffer) return 1;
        if (buffer instanceof FloatBuffer || buffer instanceof IntBuffer) return 4;
        if (buffer instanceof ShortBuffer) return 2;
        throw new IllegalArgumentException("bind a byte, short, int or float buffer");
    }

    /** The order of a byte buffer says nothing about the bytes that are in it. */
    private static ByteOrder order(Buffer buffer) {
        if (buffer instanceof FloatBuffer) return ((FloatBuffer) buffer).order();
        if (buffer instanceof IntBuffer) return ((IntBuffer) buffer).order();
        if (buffer instanceof ShortBuffer) return ((ShortBuffer) buffer).order();
        return ByteOrder.nativeOrder();
    }
}
