package edgesparse;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A network from an {@code .egs} file, ready to run.
 *
 * <p>Threads: calls from several threads wait for each other; {@link #cancel} and {@link #close} may come from any
 * thread at any time. Load the file once more for runs at the same time; the system keeps its weights in memory once.
 * Close what was loaded: nothing else frees it. After that every call throws {@link IllegalStateException}.
 */
public final class EdgeSparse extends NativeObject {
    private final List<PortMemory> inputs = new ArrayList<>();
    private final List<PortMemory> outputs = new ArrayList<>();
    private final List<String> labels;
    private final boolean endsInSoftmax;
    /** A file in memory must live as long as the network that reads it. */
    private final ByteBuffer memory;

    private EdgeSparse(long handle, ByteBuffer memory) {
        super(handle);
        this.memory = memory;
        int inputCount = Native.inputCount(handle);
        long[] values;
        for (int number = 0; (values = Native.port(handle, number)) != null; number++) {
            PortMemory memoryOfPort = new PortMemory(new Port(Native.portName(handle, number), values));
            (number < inputCount ? inputs : outputs).add(memoryOfPort);
        }
        List<String> names = new ArrayList<>();
        byte[] label;
        while ((label = Native.label(handle, names.size())) != null)
            names.add(new String(label, StandardCharsets.UTF_8));
        labels = Collections.unmodifiableList(names);
        endsInSoftmax = Native.endsInSoftmax(handle);
    }

    /** Returns the version of the native library. */
    public static String version() {
        return Native.version();
    }

    /** Returns what the kernels use of this processor, for example {@code NEON, dot product}. */
    public static String cpu() {
        return Native.cpu();
    }

    /** Loads a file with one thread. */
    public static EdgeSparse load(String path) {
        return load(path, new Options());
    }

    /** Loads a file; it is mapped, and checked completely. */
    public static EdgeSparse load(String path, Options options) {
        return open(Source.of(path), options);
    }

    /** Loads what a direct buffer holds from its position to its limit. The bytes must not change any more. */
    public static EdgeSparse load(ByteBuffer direct, Options options) {
        return open(Source.of(direct), options);
    }

    /** Loads a part of an open file, to its end if {@code length} is 0; the descriptor stays the caller's. */
    public static EdgeSparse load(int fd, long offset, long length, Options options) {
        return open(Source.of(fd, offset, length), options);
    }

    /** Loads a language model. */
    public static TextModel loadText(String path, TextOptions options) {
        return TextModel.open(Source.of(path), options);
    }

    /** Loads a language model from a direct buffer. */
    public static TextModel loadText(ByteBuffer direct, TextOptions options) {
        return TextModel.open(Source.of(direct), options);
    }

    /** Loads a language model from a part of an open file. */
    public static TextModel loadText(int fd, long offset, long length, TextOptions options) {
        return TextModel.open(Source.of(fd, offset, length), options);
    }

    private static EdgeSparse open(Source source, Options options) {
        byte[] plan = options.plan.getBytes(StandardCharsets.UTF_8);
        long handle = Native.openNetwork(
                source.path, source.memory, source.fd, source.offset, source.length, plan, options.threads,
                options.variants);
        try {
            return new EdgeSparse(handle, source.memory);
        } catch (RuntimeException | Error failure) {
            Native.closeNetwork(handle);
            throw failure;
        }
    }

    /** Returns the inputs in order. */
    public List<Port> inputs() {
        return ports(inputs);
    }

    /** Returns the outputs in order. */
    public List<Port> outputs() {
        return ports(outputs);
    }

    /** Returns the names of the classes; empty if the file has none. */
    public List<String> labels() {
        return labels;
    }

    /** Runs on one array per input, in order, and returns the first output. Arrays are in the order of memory. */
    public float[] run(float[]... arrays) {
        if (arrays.length != inputs.size()) throw inputCount(arrays.length);
        Map<String, Object> named = new LinkedHashMap<>();
        for (int number = 0; number < arrays.length; number++) named.put(inputs.get(number).port.name, arrays[number]);
        Object first = run(named).get(outputs.get(0).port.name);
        if (first instanceof float[]) return (float[]) first;
        throw new EdgeSparseException("INPUT_DTYPE", "call run(Map)", outputs.get(0).port + " does not hold floats");
    }

    /** Runs on arrays by name and returns new arrays by name; {@link Port.Type} says which. */
    public Map<String, Object> run(Map<String, ?> arrays) {
        if (arrays.size() != inputs.size()) throw inputCount(arrays.size());
        return use(handle -> {
            Buffers buffers = new Buffers(inputs.size() + outputs.size());
            long tokens = 1;
            for (PortMemory input : inputs) {
                if (!arrays.containsKey(input.port.name))
                    throw new EdgeSparseException("INPUT_NAME", "see inputs()", "no array for " + input.port.name);
                long bytes = input.put(arrays.get(input.port.name));
                if (input.port.symbolic) tokens = bytes / input.port.rowBytes();
                buffers.add(input.own(bytes), 0, bytes);
            }
            addOutputs(buffers, tokens);
            buffers.run(handle);
            Map<String, Object> results = new LinkedHashMap<>();
            for (PortMemory output : outputs) results.put(output.port.name, output.get(bytes(output, tokens)));
            return results;
        });
    }

    /**
     * Binds a direct buffer to an input or output for {@link #run()}, without copies: what lies from its position to
     * its limit, when it runs, is what the network reads or writes. Floats, ints and shorts are in native byte order.
     */
    public EdgeSparse bind(String port, Buffer direct) {
        return use(handle -> {
            for (List<PortMemory> side : java.util.Arrays.asList(inputs, outputs))
                for (PortMemory memory : side)
                    if (memory.port.name.equals(port)) {
                        memory.bind(direct);
                        return this;
                    }
            throw new EdgeSparseException("PORT_UNKNOWN", "see inputs() and outputs()", "there is no port " + port);
        });
    }

    /** Runs on the buffers that are bound. */
    public void run() {
        use(handle -> {
            Buffers buffers = new Buffers(inputs.size() + outputs.size());
            for (PortMemory input : inputs) buffers.add(input.bound(), input.boundOffset(), input.boundBytes());
            for (PortMemory output : outputs) buffers.add(output.bound(), output.boundOffset(), output.boundBytes());
            buffers.run(handle);
            return null;
        });
    }

    /**
     * Returns the most probable classes of a picture, the best first; it is resized and normalised as the file says.
     *
     * @param argb pixels from the top left, 0xAARRGGBB; alpha is dropped
     */
    public List<Label> classify(int[] argb, int width, int height, int top) {
        if (width < 1 || height < 1 || (long) width * height != argb.length)
            throw new IllegalArgumentException(argb.length + " pixels for " + width + " x " + height);
        if (top < 1) throw new IllegalArgumentException("the best " + top + " labels");
        if (inputs.size() != 1) throw inputCount(1);
        return use(handle -> {
            PortMemory input = inputs.get(0);
            ByteBuffer values = input.own(input.port.bytes);
            Native.preprocess(handle, argb, width, height, values, input.port.bytes);
            Buffers buffers = new Buffers(1 + outputs.size());
            buffers.add(values, 0, input.port.bytes);
            addOutputs(buffers, 1);
            buffers.run(handle);
            FloatBuffer scores = outputs.get(0).floats(outputs.get(0).port.bytes);
            return Classes.best(scores, endsInSoftmax, labels, top);
        });
    }

    /** Sets everything that the network remembers between runs to zero. */
    public void reset() {
        use(handle -> {
            Native.resetNetwork(handle);
            return null;
        });
    }

    @Override
    void cancelNative(long handle) {
        Native.cancelNetwork(handle);
    }

    @Override
    void closeNative(long handle) {
        Native.closeNetwork(handle);
    }

    private void addOutputs(Buffers buffers, long tokens) {
        for (PortMemory output : outputs) buffers.add(output.own(bytes(output, tokens)), 0, bytes(output, tokens));
    }

    private static long bytes(PortMemory memory, long tokens) {
        return memory.port.symbolic ? tokens * memory.port.rowBytes() : memory.port.bytes;
    }

    private static List<Port> ports(List<PortMemory> memories) {
        List<Port> ports = new ArrayList<>();
        for (PortMemory memory : memories) ports.add(memory.port);
        return Collections.unmodifiableList(ports);
    }

    private EdgeSparseException inputCount(int count) {
        return new EdgeSparseException("INPUT_COUNT", "pass one for each", count + " arrays for inputs " + inputs());
    }
}
