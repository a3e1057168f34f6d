import edgesparse.EdgeSparse;
import edgesparse.GenerateOptions;
import edgesparse.Generation;
import edgesparse.TextModel;
import edgesparse.TextOptions;
import java.io.PrintStream;
import java.util.Arrays;

/** Generates and prints what the Python tests compare. */
public final class TextCheck {
    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        TextOptions options = new TextOptions().threads(2).context(512).cache(TextOptions.Cache.F32);
        if (arguments[1].equals("delta")) options.delta(Float.parseFloat(arguments[4]), 0.05f, 4);
        int count = Integer.parseInt(arguments[3]);
        try (TextModel model = EdgeSparse.loadText(arguments[0], options)) {
            StringBuilder streamed = new StringBuilder();
            GenerateOptions greedy = new GenerateOptions().temperature(0).maxTokens(count);
            Generation answer = model.generate(arguments[2], greedy, piece -> {
                streamed.append(piece);
                return true;
            });
            check(streamed.toString().equals(answer.text), "the pieces are the text");
            check(answer.generatedTokens == count, "tokens " + answer.generatedTokens);
            check(answer.finish == Generation.Finish.LENGTH, "finish " + answer.finish);
            check(answer.firstTokenSeconds > 0 && answer.tokensPerSecond() > 0, "times");
            check(model.context() == 512, "context " + model.context());
            check(model.decode(model.encode("Über 😀")).equals("Über 😀"), "text through tokens and back");
            Generation again = model.generate(arguments[2], greedy);
            check(again.text.equals(answer.text) && again.reusedTokens > 0, "again " + again.reusedTokens);
            GenerateOptions seeded = new GenerateOptions().temperature(0.8f).topP(0.95f).topK(0).minP(0)
                    .repetitionPenalty(1).seed(7).maxTokens(count);
            out.println(Arrays.toString(model.encode(arguments[2])));
            out.println(model.skipped());
            out.println(answer.text.replace("\n", "\\n"));
            out.println(model.generate(arguments[2], seeded).text.replace("\n", "\\n"));
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }
}
