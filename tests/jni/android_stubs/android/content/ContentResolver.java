package android.content;

import android.net.Uri;
import java.io.FileNotFoundException;
import java.io.InputStream;

/** Stands for Android's class when sources are compiled without an SDK. */
public abstract class ContentResolver {
    public final InputStream openInputStream(Uri place) throws FileNotFoundException {
        throw new FileNotFoundException();
    }
}
