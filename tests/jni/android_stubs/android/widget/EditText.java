package android.widget;

import android.content.Context;
import android.text.Editable;

/** Stands for Android's class when sources are compiled without an SDK. */
public class EditText extends TextView {
    public EditText(Context context) {
        super(context);
    }

    @Override
    public Editable getText() {
        return null;
    }
}
