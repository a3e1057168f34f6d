package edgesparse.sample;

import android.content.res.AssetManager;
import android.graphics.Bitmap;
import edgesparse.AndroidModels;
import edgesparse.EdgeSparse;
import edgesparse.Label;
import edgesparse.Options;
import java.io.IOException;
import java.util.Locale;

/** A network that is loaded when it is first needed. */
final class Classifier {
    private final AssetManager assets;
    private final String name;
    private EdgeSparse network;
    private boolean closed;

    Classifier(AssetManager assets, String name) {
        this.assets = assets;
        this.name = name;
    }

    /** Returns what is on a picture, with the time that it took. */
    String describe(Bitmap picture) throws IOException {
        EdgeSparse loaded = load();
        long start = System.nanoTime();
        StringBuilder text = new StringBuilder();
        for (Label label : AndroidModels.classify(loaded, picture, 3)) text.append(label).append('\n');
        double milliseconds = (System.nanoTime() - start) / 1e6;
        return text + String.format(Locale.ROOT, "%.2f ms, with resizing", milliseconds);
    }

    private synchronized EdgeSparse load() throws IOException {
        if (closed) throw new IllegalStateException("closed");
        // One thread: networks this small gain nothing from more.
        if (network == null) network = AndroidModels.load(assets.openFd(name), new Options().threads(1));
        return network;
    }

    synchronized void close() {
        closed = true;
        if (network != null) network.close();
    }
}
