package edgesparse;

/** A finished generation. */
public final class Generation {
    /** Why it ended. */
    public enum Finish {
        /** The model ended its text. */
        END,
        /** {@link GenerateOptions#maxTokens} was reached. */
        LENGTH,
        /** A stop text came. */
        STOP,
        /** The context is full. */
        CONTEXT,
        /** The callback, {@link TextModel#cancel} or {@link TextModel#close} asked for it. */
        CANCELLED
    }

    /** The text without the prompt. */
    public final String text;
    /** Why it ended. */
    public final Finish finish;
    /** Tokens of the prompt. */
    public final int promptTokens;
    /** Tokens of the prompt that were not computed again, because the model had just read them. */
    public final int reusedTokens;
    /** Tokens of the text. */
    public final int generatedTokens;
    /** How often a full context forgot its older half. */
    public final int rolls;
    /** Seconds from the start to the first token. */
    public final double firstTokenSeconds;
    /** Seconds from the first token to the last. */
    public final double decodeSeconds;

    Generation(String text, double[] values) {
        this.text = text;
        finish = Finish.values()[(int) values[0]];
        promptTokens = (int) values[1];
        reusedTokens = (int) values[2];
        generatedTokens = (int) values[3];
        rolls = (int) values[4];
        firstTokenSeconds = values[5];
        decodeSeconds = values[6];
    }

    /** Returns the speed after the first token; 0 if there were no more. */
    public double tokensPerSecond() {
        return decodeSeconds > 0 ? (generatedTokens - 1) / decodeSeconds : 0;
    }
}
