package android.graphics;

/** Stands for Android's class when sources are compiled without an SDK. */
public final class Bitmap {
    /** Formats of pixels. */
    public enum Config {
        ARGB_8888
    }

    private Bitmap() {}

    public Config getConfig() {
        throw new UnsupportedOperationException();
    }

    public Bitmap copy(Config config, boolean mutable) {
        throw new UnsupportedOperationException();
    }

    public int getWidth() {
        throw new UnsupportedOperationException();
    }

    public int getHeight() {
        throw new UnsupportedOperationException();
    }

    public void getPixels(int[] pixels, int offset, int stride, int x, int y, int width, int height) {
        throw new UnsupportedOperationException();
    }

    public void recycle() {
        throw new UnsupportedOperationException();
    }
}
