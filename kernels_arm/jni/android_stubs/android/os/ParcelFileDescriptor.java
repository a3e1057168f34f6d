package android.os;

/** Stands for Android's class when sources are compiled without an SDK. */
public class ParcelFileDescriptor {
    private ParcelFileDescriptor() {}

    public int getFd() {
        throw new UnsupportedOperationException();
    }
}
