package edgesparse;

import android.content.res.AssetFileDescriptor;
import android.graphics.Bitmap;
import java.io.IOException;
import java.util.List;

/**
 * What needs Android's own classes: models in an APK's assets, and bitmaps. Assets must not be compressed
 * ({@code androidResources { noCompress += "egs" }}); then they are mapped where they lie in the APK, without a copy.
 */
public final class AndroidModels {
    private AndroidModels() {}

    /** Loads a network from {@code context.getAssets().openFd("model.egs")} and closes the descriptor. */
    public static EdgeSparse load(AssetFileDescriptor asset, Options options) throws IOException {
        try (AssetFileDescriptor open = asset) {
            return EdgeSparse.load(fd(open), open.getStartOffset(), length(open), options);
        }
    }

    /** Loads a language model from an asset and closes the descriptor. */
    public static TextModel loadText(AssetFileDescriptor asset, TextOptions options) throws IOException {
        try (AssetFileDescriptor open = asset) {
            return EdgeSparse.loadText(fd(open), open.getStartOffset(), length(open), options);
        }
    }

    /** Returns the most probable classes of a picture. Hardware bitmaps are copied first: they have no pixels. */
    public static List<Label> classify(EdgeSparse network, Bitmap bitmap, int top) {
        Bitmap.Config config = bitmap.getConfig();
        // By name: Bitmap.Config.HARDWARE came with API 26.
        boolean readable = config != null && !config.name().equals("HARDWARE");
        Bitmap pixels = readable ? bitmap : bitmap.copy(Bitmap.Config.ARGB_8888, false);
        if (pixels == null)
            throw new EdgeSparseException("IMAGE_TYPE", "pass a software bitmap", "no pixels can be read");
        int width = pixels.getWidth();
        int height = pixels.getHeight();
        int[] argb = new int[width * height];
        pixels.getPixels(argb, 0, width, 0, 0, width, height);
        if (pixels != bitmap) pixels.recycle();
        return network.classify(argb, width, height, top);
    }

    private static int fd(AssetFileDescriptor asset) {
        return asset.getParcelFileDescriptor().getFd();
    }

    private static long length(AssetFileDescriptor asset) {
        return asset.getLength() == AssetFileDescriptor.UNKNOWN_LENGTH ? 0 : asset.getLength();
    }
}
