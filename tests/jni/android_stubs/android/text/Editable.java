package android.text;

/** Stands for Android's class when sources are compiled without an SDK. */
public interface Editable extends CharSequence {}
