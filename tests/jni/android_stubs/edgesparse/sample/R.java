package edgesparse.sample;

/** Stands for Android's class when sources are compiled without an SDK. */
public final class R {
    public static final class string {
        public static final int pick = 1;
        public static final int write = 2;
        public static final int stop = 3;
    }
}
