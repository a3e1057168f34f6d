package edgesparse;

import java.util.concurrent.locks.ReentrantLock;

/**
 * Native memory that one thread at a time uses and that any thread may close. Other threads wait for their turn.
 * Closing ends what runs, waits for it and then frees, so that no thread ever works on freed memory. There is no
 * finalizer: what is not closed stays until the process ends.
 */
abstract class NativeObject implements AutoCloseable {
    /** Something that uses the native memory. */
    interface Use<T> {
        T with(long handle);
    }

    private final ReentrantLock turn = new ReentrantLock(true);
    /** Guards the fields below, for moments only: a cancelling thread must not wait for the one that runs. */
    private final Object lifetime = new Object();
    private long handle;
    private boolean running;
    private boolean cancelled;
    private boolean closing;

    NativeObject(long handle) {
        this.handle = handle;
    }

    abstract void cancelNative(long nativeHandle);

    abstract void closeNative(long nativeHandle);

    /** Runs something when it is this thread's turn. */
    final <T> T use(Use<T> use) {
        if (turn.isHeldByCurrentThread())
            throw new IllegalStateException("a callback cannot use the model that calls it");
        turn.lock();
        try {
            long open = begin();
            while (true) {
                try {
                    return use.with(open);
                } catch (EdgeSparseException failure) {
                    // A cancel that came just after the end of an earlier run has stayed behind, before the first step.
                    if (!failure.code().equals("CANCELLED") || isCancelled()) throw failure;
                }
            }
        } finally {
            end();
            turn.unlock();
        }
    }

    /** Ends the run in progress in another thread, which then throws {@code CANCELLED}; else does nothing. */
    public void cancel() {
        synchronized (lifetime) {
            if (!running) return;
            cancelled = true;
            cancelNative(handle);
        }
    }

    /** Ends what runs and frees the memory. May be called twice, from any thread, and from a callback. */
    @Override
    public void close() {
        synchronized (lifetime) {
            closing = true;
            cancel();
        }
        if (turn.isHeldByCurrentThread()) return; // end() frees when the callback has returned
        turn.lock();
        try {
            end();
        } finally {
            turn.unlock();
        }
    }

    final boolean isCancelled() {
        synchronized (lifetime) {
            return cancelled;
        }
    }

    private long begin() {
        synchronized (lifetime) {
            if (closing) throw new IllegalStateException("closed");
            running = true;
            cancelled = false;
            return handle;
        }
    }

    private void end() {
        long unused;
        synchronized (lifetime) {
            running = false;
            unused = closing ? handle : 0;
            if (closing) handle = 0;
        }
        if (unused != 0) closeNative(unused);
    }
}
