package android.widget;

import android.content.Context;

/** Stands for Android's class when sources are compiled without an SDK. */
public class Button extends TextView {
    public Button(Context context) {
        super(context);
    }
}
