package android.view;

import android.content.Context;

/** Stands for Android's class when sources are compiled without an SDK. */
public class View {
    public interface OnClickListener {
        void onClick(View view);
    }

    public View(Context context) {}

    public void setOnClickListener(OnClickListener listener) {}
}
