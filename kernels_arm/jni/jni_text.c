/* The Java functions of language models: edgesparse.Native, used by TextModel. */
#include <stdlib.h>
#include <string.h>

#include "jni_support.h"

enum { MAX_STOPS = 16, SIZES = 5 };

typedef struct language_model {
    es_model *model;
    es_text *text;
} language_model;

static es_text *text_of(jlong handle) { return ((language_model *)es_from_handle(handle))->text; }

static void close_parts(language_model *opened)
{
    if (!opened) return;
    es_text_close(opened->text);
    es_model_close(opened->model);
    free(opened);
}

static jlong JNICALL open_text(JNIEnv *env, jclass class, jbyteArray path, jobject memory, jint fd, jlong offset,
                               jlong length, jint threads, jint variants, jintArray sizes, jfloat theta, jfloat window)
{
    (void)class;
    jint size[SIZES];
    (*env)->GetIntArrayRegion(env, sizes, 0, SIZES, size);
    if ((*env)->ExceptionCheck(env)) return 0;
    es_text_options options = es_text_options_default();
    options.session.threads = (uint32_t)threads;
    options.session.variants = (uint32_t)variants;
    options.context = (uint32_t)size[0];
    options.prompt_bytes = (uint32_t)size[1];
    options.attention = (es_attention)size[2];
    options.cache = (es_dtype)size[3];
    options.sinks = (uint32_t)size[4];
    if (theta == theta) options.theta = theta; /* NaN: not set */
    if (window == window) options.window = window;
    language_model *opened = calloc(1, sizeof *opened);
    if (!opened) {
        es_jni_throw(env, ES_MEMORY_EXHAUSTED, "no memory for a language model");
        return 0;
    }
    opened->model = es_jni_open(env, &(es_jni_source){path, memory, fd, offset, length});
    if (opened->model) {
        es_error error;
        es_status status = es_text_create(opened->model, &options, &opened->text, &error);
        if (!status) return es_to_handle(opened);
        es_jni_throw(env, status, error.message);
    }
    close_parts(opened);
    return 0;
}

static void JNICALL close_text(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    close_parts(es_from_handle(handle));
}

static void JNICALL cancel_text(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    es_session_cancel(es_text_session(text_of(handle)));
}

static jint JNICALL context(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    return (jint)es_text_context(text_of(handle));
}

static jint JNICALL vocabulary(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    return (jint)es_text_vocabulary(text_of(handle));
}

static jdouble JNICALL skipped(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    return es_text_skipped(text_of(handle));
}

static jint JNICALL rewind_text(JNIEnv *env, jclass class, jlong handle, jint tokens)
{
    (void)env, (void)class;
    return (jint)es_text_rewind(text_of(handle), (size_t)tokens);
}

static jintArray JNICALL encode(JNIEnv *env, jclass class, jlong handle, jbyteArray utf8)
{
    (void)class;
    es_text *text = text_of(handle);
    size_t length, count = 0;
    char *bytes = es_jni_copy(env, utf8, &length);
    if (!bytes) return NULL;
    jintArray result = NULL;
    jint *tokens = NULL;
    es_status status = ES_ARGUMENT_RANGE;
    /* There can be more tokens than bytes: one that begins every text, spaces that fall apart. Then count is known. */
    for (int attempt = 0; attempt < 2 && status == ES_ARGUMENT_RANGE; attempt++) {
        size_t capacity = count ? count : length + 1;
        free(tokens);
        tokens = malloc(capacity * sizeof *tokens);
        status = tokens ? es_text_encode(text, bytes, length, tokens, capacity, &count) : ES_MEMORY_EXHAUSTED;
    }
    es_jni_throw(env, status, es_text_error(text));
    if (!status) result = (*env)->NewIntArray(env, (jsize)count);
    if (result) (*env)->SetIntArrayRegion(env, result, 0, (jsize)count, tokens);
    free(tokens);
    free(bytes);
    return result;
}

static jbyteArray JNICALL decode(JNIEnv *env, jclass class, jlong handle, jintArray array)
{
    (void)class;
    es_text *text = text_of(handle);
    size_t count = (size_t)(*env)->GetArrayLength(env, array), length = 0;
    jint *tokens = malloc((count + 1) * sizeof *tokens);
    char *bytes = NULL;
    es_status status = tokens ? ES_OK : ES_MEMORY_EXHAUSTED;
    if (!status) {
        (*env)->GetIntArrayRegion(env, array, 0, (jsize)count, tokens);
        /* Asked twice: only the text knows how long it is. */
        status = es_text_decode(text, tokens, count, NULL, 0, &length);
        if (status == ES_ARGUMENT_RANGE && length) status = ES_OK;
    }
    if (!status && !(bytes = malloc(length + 1))) status = ES_MEMORY_EXHAUSTED;
    if (!status) status = es_text_decode(text, tokens, count, bytes, length + 1, &length);
    es_jni_throw(env, status, es_text_error(text));
    jbyteArray result = status ? NULL : es_jni_bytes(env, bytes, length);
    free(bytes);
    free(tokens);
    return result;
}

typedef struct piece_sink {
    JNIEnv *env;
    jobject sink;
    jmethodID method;
} piece_sink;

/* Called in the thread that generates, so its JNIEnv is right. */
static int hand_on(void *context, const char *utf8, size_t length)
{
    piece_sink *to = context;
    JNIEnv *env = to->env;
    jbyteArray bytes = es_jni_bytes(env, utf8, length);
    if (!bytes) return 1;
    jboolean go_on = (*env)->CallBooleanMethod(env, to->sink, to->method, bytes);
    /* Native code returns only at the end of the text: what is not deleted here stays until then. */
    (*env)->DeleteLocalRef(env, bytes);
    return !go_on || (*env)->ExceptionCheck(env);
}

static es_sampling sampling_of(JNIEnv *env, const es_text *text, jfloatArray values, jint top_k, jlong seed)
{
    es_sampling sampling = es_text_sampling(text);
    float given[4];
    (*env)->GetFloatArrayRegion(env, values, 0, 4, given);
    if (given[0] == given[0]) sampling.temperature = given[0]; /* NaN: not set */
    if (given[1] == given[1]) sampling.top_p = given[1];
    if (given[2] == given[2]) sampling.min_p = given[2];
    if (given[3] == given[3]) sampling.repetition_penalty = given[3];
    if (top_k >= 0) sampling.top_k = (uint32_t)top_k;
    sampling.seed = (uint64_t)seed;
    return sampling;
}

/* Copies of the stop texts; false with a pending exception. */
static int copy_stops(JNIEnv *env, jobjectArray stops, char **copies, jsize count)
{
    for (jsize number = 0; number < count; number++) {
        jbyteArray stop = (*env)->GetObjectArrayElement(env, stops, number);
        if (!stop || !(copies[number] = es_jni_copy(env, stop, NULL))) return 0;
        (*env)->DeleteLocalRef(env, stop);
    }
    return 1;
}

static jdoubleArray results(JNIEnv *env, const es_generation *generation)
{
    const jdouble values[] = {generation->finish,           generation->prompt_tokens, generation->reused_tokens,
                              generation->generated_tokens, generation->rolls,         generation->first_token_seconds,
                              generation->decode_seconds};
    const jsize count = sizeof values / sizeof *values;
    jdoubleArray array = (*env)->NewDoubleArray(env, count);
    if (array) (*env)->SetDoubleArrayRegion(env, array, 0, count, values);
    return array;
}

static jdoubleArray JNICALL generate(JNIEnv *env, jclass class, jlong handle, jbyteArray prompt, jfloatArray sampling,
                                     jint top_k, jlong seed, jint max_tokens, jobjectArray stops, jboolean roll,
                                     jobject sink)
{
    (void)class;
    es_text *text = text_of(handle);
    jclass sink_class = (*env)->FindClass(env, "edgesparse/PieceSink");
    piece_sink to = {env, sink, sink_class ? (*env)->GetMethodID(env, sink_class, "piece", "([B)Z") : NULL};
    if (!to.method) return NULL;
    char *copies[MAX_STOPS] = {NULL};
    jsize count = (*env)->GetArrayLength(env, stops);
    es_generation generation = {.finish = ES_FINISH_CANCELLED};
    es_status status = count > MAX_STOPS ? ES_STOP_TEXT : ES_OK;
    size_t length = 0;
    char *bytes = es_jni_copy(env, prompt, &length);
    if (bytes && !status && copy_stops(env, stops, copies, count)) {
        es_generate_options options = {.sampling = sampling_of(env, text, sampling, top_k, seed),
                                       .max_tokens = (uint32_t)max_tokens,
                                       .stops = (const char *const *)copies,
                                       .stop_count = (uint32_t)count,
                                       .roll = roll};
        status = es_text_generate(text, bytes, length, &options, hand_on, &to, &generation);
        if (status == ES_CANCELLED) {
            generation.finish = ES_FINISH_CANCELLED;
            status = ES_OK;
        }
        es_jni_throw(env, status, es_text_error(text));
    } else {
        es_jni_throw(env, status, "more than 16 stop texts");
    }
    for (jsize number = 0; number < MAX_STOPS; number++) free(copies[number]);
    free(bytes);
    return (*env)->ExceptionCheck(env) ? NULL : results(env, &generation);
}

#define METHOD(name, signature, function) {(char *)(name), (char *)(signature), (void *)(function)}
const JNINativeMethod es_jni_text_methods[] = {
    METHOD("openText", "([BLjava/nio/Buffer;IJJII[IFF)J", open_text),
    METHOD("closeText", "(J)V", close_text),
    METHOD("cancelText", "(J)V", cancel_text),
    METHOD("context", "(J)I", context),
    METHOD("vocabulary", "(J)I", vocabulary),
    METHOD("skipped", "(J)D", skipped),
    METHOD("rewind", "(JI)I", rewind_text),
    METHOD("encode", "(J[B)[I", encode),
    METHOD("decode", "(J[I)[B", decode),
    METHOD("generate", "(J[B[FIJI[[BZLedgesparse/PieceSink;)[D", generate),
};
const jint es_jni_text_method_count = sizeof es_jni_text_methods / sizeof *es_jni_text_methods;
