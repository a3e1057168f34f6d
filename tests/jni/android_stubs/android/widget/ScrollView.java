package android.widget;

import android.content.Context;
import android.view.View;

/** Stands for Android's class when sources are compiled without an SDK. */
public class ScrollView extends View {
    public ScrollView(Context context) {
        super(context);
    }

    public void addView(View view) {}
}
