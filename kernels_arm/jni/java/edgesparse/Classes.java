package edgesparse;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/** From the scores of a classifier to its most probable labels. */
final class Classes {
    private Classes() {}

    static List<Label> best(FloatBuffer scores, boolean normalised, List<String> labels, int top) {
        double[] probabilities = new double[scores.remaining()];
        for (int index = 0; index < probabilities.length; index++) probabilities[index] = scores.get(index);
        if (!normalised) softmax(probabilities);
        boolean[] taken = new boolean[probabilities.length];
        List<Label> best = new ArrayList<>();
        while (best.size() < Math.min(top, probabilities.length)) {
            int next = -1;
            for (int index = 0; index < probabilities.length; index++)
                if (!taken[index] && (next < 0 || probabilities[index] > probabilities[next])) next = index;
            taken[next] = true;
            best.add(new Label(next < labels.size() ? labels.get(next) : String.valueOf(next), probabilities[next]));
        }
        return best;
    }

    private static void softmax(double[] values) {
        double largest = Double.NEGATIVE_INFINITY;
        for (double value : values) largest = Math.max(largest, value);
        double sum = 0;
        for (int index = 0; index < values.length; index++) sum += values[index] = Math.exp(values[index] - largest);
        for (int index = 0; index < values.length; index++) values[index] /= sum;
    }
}
