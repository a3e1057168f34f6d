package android.content.res;

import android.os.ParcelFileDescriptor;
import java.io.Closeable;
import java.io.IOException;

/** Stands for Android's class when sources are compiled without an SDK. */
public class AssetFileDescriptor implements Closeable {
    /** Android's constant; the compiler copies its value. */
    public static final long UNKNOWN_LENGTH = -1;

    private AssetFileDescriptor() {}

    public ParcelFileDescriptor getParcelFileDescriptor() {
        throw new UnsupportedOperationException();
    }

    public long getStartOffset() {
        throw new UnsupportedOperationException();
    }

    public long getLength() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() throws IOException {}
}
