package edgesparse;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** An input or output of a network. */
public final class Port {
    /** Types of elements, with the Java type that holds them. */
    public enum Type {
        /** {@code float}. */
        F32(4),
        /** {@code short} with the bits of an IEEE half. */
        F16(2),
        /** {@code byte}. */
        S8(1),
        /** {@code byte} with the bits of 0 to 255. */
        U8(1),
        /** {@code int}. */
        S32(4);

        final int bytes;

        Type(int bytes) {
            this.bytes = bytes;
        }
    }

    /** Name in the file. */
    public final String name;
    /** Type of the elements. */
    public final Type type;
    /** Whether images are (N, H, W, C) in memory, although {@link #shape} says (N, C, H, W). */
    public final boolean nhwc;
    /** Whether a run may bring fewer rows than the first number of {@link #shape}. */
    public final boolean symbolic;

    final long bytes;
    private final long[] shape;

    Port(byte[] name, long[] values) {
        this.name = new String(name, StandardCharsets.UTF_8);
        type = Type.values()[(int) values[0] - 1];
        bytes = values[1];
        nhwc = values[2] != 0;
        symbolic = values[3] != 0;
        shape = Arrays.copyOfRange(values, 4, values.length);
    }

    /** Returns the shape, largest first axis for symbolic ports. */
    public long[] shape() {
        return shape.clone();
    }

    /** Returns the number of elements at most. */
    public long elements() {
        return bytes / type.bytes;
    }

    long rowBytes() {
        return shape.length == 0 ? bytes : bytes / shape[0];
    }

    @Override
    public String toString() {
        return name + " " + type + " " + Arrays.toString(shape) + (nhwc ? " nhwc" : "");
    }
}
