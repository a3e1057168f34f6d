import edgesparse.EdgeSparse;
import edgesparse.EdgeSparseException;
import edgesparse.Label;
import edgesparse.Options;
import edgesparse.Port;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Collections;
import java.util.Map;

/** Runs networks and prints what the Python tests compare. */
public final class NetworkCheck {
    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "run":
                run(arguments[1], arguments[2], arguments[3], Integer.parseInt(arguments[4]));
                break;
            case "classify":
                classify(arguments[1], arguments[2], Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]));
                break;
            case "ports":
                ports(arguments[1]);
                break;
            case "errors":
                for (int index = 1; index < arguments.length; index++) System.out.println(code(arguments[index]));
                break;
            default:
                throw new IllegalArgumentException(arguments[0]);
        }
    }

    /** Runs in every way that there is; all must give the same numbers, which go into a file. */
    private static void run(String model, String input, String output, int threads) throws Exception {
        float[] x = floats(Files.readAllBytes(Paths.get(input)));
        float[] result;
        try (EdgeSparse network = EdgeSparse.load(model, new Options().threads(threads))) {
            result = network.run(x);
            String in = network.inputs().get(0).name;
            String out = network.outputs().get(0).name;
            Map<String, Object> named = network.run(Collections.singletonMap(in, x));
            same(result, (float[]) named.get(out), "by name");
            FloatBuffer from = direct(4 * x.length).asFloatBuffer();
            FloatBuffer to = direct(4 * result.length + 16).asFloatBuffer();
            from.put(x).rewind();
            to.position(2).limit(2 + result.length);
            network.bind(in, from).bind(out, to).run();
            float[] copied = new float[result.length];
            to.get(copied);
            same(result, copied, "zero copy");
            same(result, network.run(x), "after binding");
        }
        byte[] file = Files.readAllBytes(Paths.get(model));
        ByteBuffer memory = ByteBuffer.allocateDirect(file.length + 3);
        memory.position(3);
        memory.put(file).position(3);
        try (EdgeSparse network = EdgeSparse.load(memory, new Options())) {
            same(result, network.run(x), "from memory");
        }
        fromPartOfFile(file, x, result);
        ByteBuffer written = direct(4 * result.length);
        written.asFloatBuffer().put(result);
        byte[] bytes = new byte[written.capacity()];
        written.get(bytes);
        Files.write(Paths.get(output), bytes);
        System.out.println(EdgeSparse.version() + " " + EdgeSparse.cpu());
    }

    /** As a model lies in an APK: at any offset, with other things behind it. */
    private static void fromPartOfFile(byte[] file, float[] x, float[] result) throws Exception {
        File archive = File.createTempFile("archive", ".bin");
        try (FileChannel channel = FileChannel.open(archive.toPath(), java.nio.file.StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(file), 4099);
            channel.write(ByteBuffer.wrap(new byte[77]), 4099 + file.length);
        }
        try (FileInputStream stream = new FileInputStream(archive)) {
            int fd = number(stream.getFD());
            EdgeSparse network = EdgeSparse.load(fd, 4099, file.length, new Options());
            stream.close(); // the map stays
            same(result, network.run(x), "from a part of a file");
            network.close();
        } finally {
            if (!archive.delete()) System.err.println(archive);
        }
    }

    /** Java hides the number; Android has ParcelFileDescriptor.getFd for it. Needs --add-opens java.base/java.io. */
    private static int number(FileDescriptor descriptor) throws ReflectiveOperationException {
        Field field = FileDescriptor.class.getDeclaredField("fd");
        field.setAccessible(true);
        return field.getInt(descriptor);
    }

    private static void classify(String model, String pixels, int width, int height) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(Paths.get(pixels))).order(ByteOrder.LITTLE_ENDIAN);
        int[] argb = new int[width * height];
        bytes.asIntBuffer().get(argb);
        try (EdgeSparse network = EdgeSparse.load(model)) {
            for (Label label : network.classify(argb, width, height, 3))
                System.out.println(label.name + "\t" + label.probability);
        }
    }

    private static void ports(String model) {
        try (EdgeSparse network = EdgeSparse.load(model)) {
            for (Port port : network.inputs()) System.out.println("input " + port);
            for (Port port : network.outputs()) System.out.println("output " + port);
            System.out.println(network.labels());
        }
    }

    private static String code(String path) {
        try (EdgeSparse network = EdgeSparse.load(path)) {
            return "loaded " + network.inputs();
        } catch (EdgeSparseException failure) {
            if (!failure.getMessage().startsWith(failure.code() + ": ")) throw failure;
            return failure.code();
        }
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    private static float[] floats(byte[] bytes) {
        float[] values = new float[bytes.length / 4];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
        return values;
    }

    private static void same(float[] expected, float[] found, String how) {
        if (!java.util.Arrays.equals(expected, found)) throw new AssertionError(how);
    }
}
