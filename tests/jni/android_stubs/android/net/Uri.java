package android.net;

/** Stands for Android's class when sources are compiled without an SDK. */
public abstract class Uri {}
