package edgesparse;

import java.nio.charset.StandardCharsets;

/** How the next token is chosen and when to end. What is not set is what the file suggests. */
public final class GenerateOptions {
    final float[] sampling = {Float.NaN, Float.NaN, Float.NaN, Float.NaN};
    int topK = -1;
    long seed;
    int maxTokens;
    byte[][] stops = {};
    boolean roll;

    /** Sets the temperature, from 0; 0 always takes the likeliest token. */
    public GenerateOptions temperature(float value) {
        sampling[0] = value;
        return this;
    }

    /** Keeps the likeliest tokens that have this probability together; above 0, at most 1. */
    public GenerateOptions topP(float value) {
        sampling[1] = value;
        return this;
    }

    /** Keeps tokens with at least this share of the likeliest one's probability; 0 to below 1. */
    public GenerateOptions minP(float value) {
        sampling[2] = value;
        return this;
    }

    /** Makes tokens that came already less likely; above 0, 1 for none. */
    public GenerateOptions repetitionPenalty(float value) {
        sampling[3] = value;
        return this;
    }

    /** Keeps this many of the likeliest tokens; 0 for all. */
    public GenerateOptions topK(int count) {
        if (count < 0) throw new IllegalArgumentException("topK " + count);
        topK = count;
        return this;
    }

    /** Sets the seed; 0 by default. The same seed gives the same text on every machine. */
    public GenerateOptions seed(long value) {
        seed = value;
        return this;
    }

    /** Ends after this many tokens; 0, the default, goes on until the text ends or the context is full. */
    public GenerateOptions maxTokens(int count) {
        if (count < 0) throw new IllegalArgumentException("maxTokens " + count);
        maxTokens = count;
        return this;
    }

    /** Ends before any of these texts, at most 16. */
    public GenerateOptions stops(String... texts) {
        byte[][] bytes = new byte[texts.length][];
        for (int index = 0; index < texts.length; index++) bytes[index] = texts[index].getBytes(StandardCharsets.UTF_8);
        stops = bytes;
        return this;
    }

    /** Lets a full context forget its older half instead of ending. */
    public GenerateOptions roll(boolean on) {
        roll = on;
        return this;
    }
}
