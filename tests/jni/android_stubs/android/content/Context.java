package android.content;

import android.content.res.AssetManager;

/** Stands for Android's class when sources are compiled without an SDK. */
public class Context {
    public AssetManager getAssets() {
        throw new UnsupportedOperationException();
    }

    public ContentResolver getContentResolver() {
        throw new UnsupportedOperationException();
    }
}
