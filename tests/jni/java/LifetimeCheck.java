import edgesparse.EdgeSparse;
import edgesparse.EdgeSparseException;
import edgesparse.GenerateOptions;
import edgesparse.Generation;
import edgesparse.Options;
import edgesparse.TextModel;
import edgesparse.TextOptions;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;

/** Closing, cancelling and misuse: nothing may crash, and everything says what is wrong. */
public final class LifetimeCheck {
    private static final GenerateOptions LONG = new GenerateOptions().temperature(1).maxTokens(400);

    private static String networkPath;
    private static String textPath;

    public static void main(String[] arguments) throws Exception {
        networkPath = arguments[0];
        textPath = arguments[1];
        int rounds = Integer.parseInt(arguments[2]);
        closedTwice();
        wrongInputs();
        wrongOptions();
        for (int round = 0; round < rounds; round++) closedWhileOthersRun(round);
        callbacks();
        cancelled();
        closedWhileItWrites();
        System.out.println("all checks passed");
    }

    private static void closedTwice() {
        EdgeSparse network = EdgeSparse.load(networkPath);
        float[] x = new float[(int) network.inputs().get(0).elements()];
        network.run(x);
        network.cancel();
        network.run(x); // a cancel with nothing to cancel does nothing
        network.close();
        network.close();
        network.cancel();
        expect("IllegalStateException", () -> network.run(x));
        expect("IllegalStateException", () -> network.reset());
        expect("IllegalStateException", () -> network.classify(new int[1], 1, 1, 1));
        TextModel text = EdgeSparse.loadText(textPath, new TextOptions());
        text.close();
        text.close();
        text.cancel();
        expect("IllegalStateException", () -> text.generate("a", LONG));
    }

    private static void wrongInputs() {
        try (EdgeSparse network = EdgeSparse.load(networkPath)) {
            int count = (int) network.inputs().get(0).elements();
            String name = network.inputs().get(0).name;
            expect("INPUT_SHAPE", () -> network.run(new float[count + 1]));
            expect("INPUT_COUNT", () -> network.run(new float[count], new float[count]));
            expect("INPUT_NAME", () -> network.run(java.util.Collections.singletonMap("nobody", new float[count])));
            expect("INPUT_DTYPE", () -> network.run(java.util.Collections.singletonMap(name, new int[count])));
            expect("INPUT_DTYPE", () -> network.run(java.util.Collections.singletonMap(name, null)));
            expect("INPUT_MISSING", () -> network.run());
            expect("PORT_UNKNOWN", () -> network.bind("nobody", ByteBuffer.allocateDirect(4)));
            expect("IllegalArgumentException", () -> network.bind(name, FloatBuffer.allocate(count)));
            expect("INPUT_DTYPE", () -> network.bind(name, ByteBuffer.allocateDirect(4).asFloatBuffer()));
            network.bind(name, ByteBuffer.allocateDirect(4 * count - 4));
            network.bind(network.outputs().get(0).name, ByteBuffer.allocateDirect(4));
            expect("INPUT_SHAPE", () -> network.run());
            expect("IllegalArgumentException", () -> network.classify(new int[5], 2, 3, 1));
            network.run(new float[count]); // and it still runs
        }
    }

    private static void wrongOptions() {
        expect("FILE_NOT_FOUND", () -> EdgeSparse.load(networkPath + ".nowhere"));
        expect("FILE_NOT_FOUND", () -> EdgeSparse.load("\u00fc\ud83d\ude00.egs"));
        expect("IllegalArgumentException", () -> EdgeSparse.load("a\0b"));
        expect("IllegalArgumentException", () -> EdgeSparse.load(ByteBuffer.allocate(64), new Options()));
        expect("FILE_TRUNCATED", () -> EdgeSparse.load(ByteBuffer.allocateDirect(0), new Options()));
        expect("FILE_MAGIC", () -> EdgeSparse.load(ByteBuffer.allocateDirect(64), new Options()));
        expect("FILE_UNREADABLE", () -> EdgeSparse.load(12345, 0, 0, new Options()));
        expect("THREADS_RANGE", () -> EdgeSparse.load(networkPath, new Options().threads(257)));
        expect("THREADS_RANGE", () -> EdgeSparse.load(networkPath, new Options().threads(-1)));
        expect("PLAN_UNKNOWN", () -> EdgeSparse.load(networkPath, new Options().plan("\ud83d\ude00")));
        expect("NO_LANGUAGE_MODEL", () -> EdgeSparse.loadText(networkPath, new TextOptions()));
        expect("CONTEXT_RANGE", () -> EdgeSparse.loadText(textPath, new TextOptions().context(7)));
        expect("ATTENTION_THETA", () -> EdgeSparse.loadText(textPath, new TextOptions().delta(-1, 0.05f, 0)));
        try (TextModel text = EdgeSparse.loadText(textPath, new TextOptions().context(128))) {
            expect("PROMPT_EMPTY", () -> text.generate("", LONG));
            expect("PROMPT_TOO_LONG", () -> text.generate(new String(new char[5000]).replace('\0', 'a'), LONG));
            expect("SAMPLING_RANGE", () -> text.generate("a", new GenerateOptions().topP(2)));
            String[] seventeen = "a b c d e f g h i j k l m n o p q".split(" ");
            expect("STOP_TEXT", () -> text.generate("a", new GenerateOptions().stops(seventeen)));
            expect("STOP_TEXT", () -> text.generate("a", new GenerateOptions().stops("")));
        }
    }

    /** Threads run until one of them closes what they use. */
    private static void closedWhileOthersRun(int round) throws InterruptedException {
        EdgeSparse network = EdgeSparse.load(networkPath, new Options().threads(1 + round % 2));
        float[] x = new float[(int) network.inputs().get(0).elements()];
        AtomicReference<Throwable> wrong = new AtomicReference<>();
        CountDownLatch running = new CountDownLatch(3);
        Thread[] threads = new Thread[3];
        for (int number = 0; number < threads.length; number++) {
            threads[number] = new Thread(() -> {
                running.countDown();
                try {
                    while (true) network.run(x);
                } catch (IllegalStateException closed) {
                    return;
                } catch (EdgeSparseException failure) {
                    if (!failure.code().equals("CANCELLED")) wrong.set(failure);
                } catch (Throwable failure) {
                    wrong.set(failure);
                }
            });
            threads[number].start();
        }
        running.await();
        Thread.sleep(round % 5);
        network.close();
        for (Thread thread : threads) thread.join();
        if (wrong.get() != null) throw new AssertionError(wrong.get());
    }

    private static void callbacks() {
        try (TextModel text = EdgeSparse.loadText(textPath, new TextOptions())) {
            Generation stopped = text.generate("ROMEO:", LONG, piece -> false);
            boolean ended = stopped.finish == Generation.Finish.CANCELLED && stopped.generatedTokens < 20;
            check(ended, "a callback that ends it");
            expect("NumberFormatException", () -> text.generate("ROMEO:", LONG, piece -> {
                throw new NumberFormatException("from the callback");
            }));
            expect("IllegalStateException", () -> text.generate("ROMEO:", LONG, piece -> {
                text.encode("inside");
                return true;
            }));
            check(text.generate("ROMEO:", new GenerateOptions().maxTokens(5)).generatedTokens == 5, "usable after");
            int[] pieces = {0};
            Generation closed = text.generate("ROMEO:", LONG, piece -> {
                pieces[0]++;
                text.close();
                return true;
            });
            check(closed.finish == Generation.Finish.CANCELLED && pieces[0] < 20, "closed by its callback");
            expect("IllegalStateException", () -> text.context());
        }
    }

    private static void cancelled() throws InterruptedException {
        try (TextModel text = EdgeSparse.loadText(textPath, new TextOptions().threads(2))) {
            Generation answer = interrupted(text, text::cancel);
            check(answer.finish == Generation.Finish.CANCELLED && answer.generatedTokens < 400, "cancelled");
            check(text.generate("ROMEO:", new GenerateOptions().maxTokens(5)).generatedTokens == 5, "usable after");
        }
    }

    private static void closedWhileItWrites() throws InterruptedException {
        TextModel text = EdgeSparse.loadText(textPath, new TextOptions());
        Generation answer = interrupted(text, text::close);
        check(answer.finish == Generation.Finish.CANCELLED, "closed while it writes");
        expect("IllegalStateException", () -> text.vocabulary());
    }

    /** Generates in another thread, and does something as soon as there is text. */
    private static Generation interrupted(TextModel text, Runnable interruption) throws InterruptedException {
        CountDownLatch writing = new CountDownLatch(1);
        AtomicReference<Generation> answer = new AtomicReference<>();
        Thread writer = new Thread(() -> answer.set(text.generate("ROMEO:", LONG, piece -> {
            writing.countDown();
            return true;
        })));
        writer.start();
        writing.await();
        interruption.run();
        writer.join();
        return answer.get();
    }

    private static void expect(String wanted, Runnable action) {
        String found = "nothing";
        try {
            action.run();
        } catch (EdgeSparseException failure) {
            found = failure.code();
        } catch (RuntimeException failure) {
            found = failure.getClass().getSimpleName();
        }
        check(found.equals(wanted), wanted + " expected, found " + found);
    }

    private static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }
}
