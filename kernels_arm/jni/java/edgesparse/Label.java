package edgesparse;

import java.util.Locale;

/** A class that a network knows, and how probable it is. */
public final class Label {
    /** The label in the file, or the number of the class. */
    public final String name;
    /** From 0 to 1. */
    public final double probability;

    Label(String name, double probability) {
        this.name = name;
        this.probability = probability;
    }

    @Override
    public String toString() {
        return String.format(Locale.ROOT, "%s %.1f %%", name, 100 * probability);
    }
}
