package android.graphics;

import java.io.InputStream;

/** Stands for Android's class when sources are compiled without an SDK. */
public class BitmapFactory {
    public static class Options {
        public boolean inJustDecodeBounds;
        public int inSampleSize;
        public int outWidth;
        public int outHeight;
    }

    public static Bitmap decodeStream(InputStream stream, Rect padding, Options options) {
        return null;
    }
}
