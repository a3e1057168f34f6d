package android.widget;

import android.content.Context;
import android.view.View;

/** Stands for Android's class when sources are compiled without an SDK. */
public class TextView extends View {
    public TextView(Context context) {
        super(context);
    }

    public CharSequence getText() {
        return "";
    }

    public final void setText(CharSequence text) {}

    public final void setText(int resource) {}

    public final void append(CharSequence text) {}

    public void setTextIsSelectable(boolean on) {}
}
