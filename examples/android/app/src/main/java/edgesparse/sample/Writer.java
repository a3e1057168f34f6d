package edgesparse.sample;

import android.content.res.AssetManager;
import edgesparse.AndroidModels;
import edgesparse.GenerateOptions;
import edgesparse.Generation;
import edgesparse.TextModel;
import edgesparse.TextOptions;
import java.io.IOException;
import java.util.Locale;

/** A language model that is loaded when it is first needed. */
final class Writer {
    /** Gets pieces of text. */
    interface Reader {
        void read(String piece);
    }

    private final AssetManager assets;
    private final String name;
    /** Read by cancel, which must not wait for a model that is being loaded. */
    private volatile TextModel model;
    private boolean closed;

    Writer(AssetManager assets, String name) {
        this.assets = assets;
        this.name = name;
    }

    /** Continues a text and returns the statistics. */
    String write(String prompt, Reader reader) throws IOException {
        GenerateOptions options = new GenerateOptions().temperature(0.8f).seed(System.nanoTime()).maxTokens(300);
        Generation answer = load().generate(prompt, options, piece -> {
            reader.read(piece);
            return true;
        });
        return String.format(Locale.ROOT, "%d tokens, %.0f tokens/s, first after %.0f ms, %s", answer.generatedTokens,
                answer.tokensPerSecond(), 1000 * answer.firstTokenSeconds, answer.finish);
    }

    /** Ends what is being written; returns at once. */
    void cancel() {
        TextModel loaded = model;
        if (loaded != null) loaded.cancel();
    }

    private synchronized TextModel load() throws IOException {
        if (closed) throw new IllegalStateException("closed");
        // Phones have few fast cores, and more threads than those wait for the slow ones.
        if (model == null) model = AndroidModels.loadText(assets.openFd(name), new TextOptions().threads(2));
        return model;
    }

    synchronized void close() {
        closed = true;
        if (model != null) model.close();
    }
}
