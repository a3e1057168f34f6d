package edgesparse.sample;

import android.content.ContentResolver;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.net.Uri;
import java.io.IOException;
import java.io.InputStream;

/** Pictures that the user picks. */
final class Pictures {
    /** Cameras have ten times the pixels that any network sees; reading fewer saves time and memory. */
    private static final int ENOUGH = 1024;

    private Pictures() {}

    static Intent pick() {
        return new Intent(Intent.ACTION_GET_CONTENT).setType("image/*").addCategory(Intent.CATEGORY_OPENABLE);
    }

    static Bitmap read(ContentResolver resolver, Uri place) throws IOException {
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inJustDecodeBounds = true;
        try (InputStream stream = resolver.openInputStream(place)) {
            BitmapFactory.decodeStream(stream, null, options);
        }
        options.inJustDecodeBounds = false;
        options.inSampleSize = Math.max(1, Math.min(options.outWidth, options.outHeight) / ENOUGH);
        try (InputStream stream = resolver.openInputStream(place)) {
            Bitmap picture = BitmapFactory.decodeStream(stream, null, options);
            if (picture == null) throw new IOException("this is no picture");
            return picture;
        }
    }
}
