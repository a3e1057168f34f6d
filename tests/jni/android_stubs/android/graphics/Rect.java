package android.graphics;

/** Stands for Android's class when sources are compiled without an SDK. */
public final class Rect {}
