package android.content.res;

import java.io.IOException;

/** Stands for Android's class when sources are compiled without an SDK. */
public final class AssetManager {
    public AssetFileDescriptor openFd(String name) throws IOException {
        throw new IOException();
    }
}
