/* The Java functions of networks: edgesparse.Native, used by EdgeSparse. */
#include <stdlib.h>
#include <string.h>

#include "jni_support.h"

typedef struct network {
    es_model *model;
    es_session *session;
} network;

static void close_parts(network *opened)
{
    if (!opened) return;
    es_session_close(opened->session);
    es_model_close(opened->model);
    free(opened);
}

static jlong create(JNIEnv *env, network *opened, const char *plan, const es_session_options *options)
{
    es_error error;
    es_status status = es_session_create(opened->model, plan, options, &opened->session, &error);
    if (!status) return es_to_handle(opened);
    es_jni_throw(env, status, error.message);
    close_parts(opened);
    return 0;
}

static jlong JNICALL open_network(JNIEnv *env, jclass class, jbyteArray path, jobject memory, jint fd, jlong offset,
                                  jlong length, jbyteArray plan, jint threads, jint variants)
{
    (void)class;
    es_session_options options = {.threads = (uint32_t)threads, .variants = (uint32_t)variants};
    char *name = es_jni_copy(env, plan, NULL);
    if (!name) return 0;
    network *opened = calloc(1, sizeof *opened);
    jlong handle = 0;
    if (!opened) {
        es_jni_throw(env, ES_MEMORY_EXHAUSTED, "no memory for a network");
    } else {
        opened->model = es_jni_open(env, &(es_jni_source){path, memory, fd, offset, length});
        if (opened->model)
            handle = create(env, opened, name, &options);
        else
            free(opened);
    }
    free(name);
    return handle;
}

static void JNICALL close_network(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    close_parts(es_from_handle(handle));
}

static void JNICALL cancel_network(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    es_session_cancel(((network *)es_from_handle(handle))->session);
}

static jint JNICALL input_count(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    uint32_t inputs;
    es_session_port_counts(((network *)es_from_handle(handle))->session, &inputs, NULL);
    return (jint)inputs;
}

static jlongArray JNICALL port(JNIEnv *env, jclass class, jlong handle, jint number)
{
    (void)class;
    es_port found;
    if (es_session_port(((network *)es_from_handle(handle))->session, (uint32_t)number, &found)) return NULL;
    jlong values[10] = {found.dtype, (jlong)found.bytes, found.nhwc, found.symbolic};
    for (uint32_t axis = 0; axis < found.rank; axis++) values[4 + axis] = (jlong)found.shape[axis];
    jlongArray array = (*env)->NewLongArray(env, (jsize)(4 + found.rank));
    if (array) (*env)->SetLongArrayRegion(env, array, 0, (jsize)(4 + found.rank), values);
    return array;
}

static jbyteArray JNICALL port_name(JNIEnv *env, jclass class, jlong handle, jint number)
{
    (void)class;
    es_port found;
    es_status status = es_session_port(((network *)es_from_handle(handle))->session, (uint32_t)number, &found);
    es_jni_throw(env, status, "");
    return status ? NULL : es_jni_text(env, found.name);
}

static jbyteArray JNICALL label(JNIEnv *env, jclass class, jlong handle, jint number)
{
    (void)class;
    return es_jni_text(env, es_model_label(((network *)es_from_handle(handle))->model, (uint32_t)number));
}

static jboolean JNICALL ends_in_softmax(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    return es_session_ends_in_softmax(((network *)es_from_handle(handle))->session) ? JNI_TRUE : JNI_FALSE;
}

static es_status bind(JNIEnv *env, es_session *session, jobjectArray buffers, jsize number, jlong offset, jlong bytes)
{
    jobject buffer = (*env)->GetObjectArrayElement(env, buffers, number);
    if (!buffer) return ES_ARGUMENT_NULL;
    char *data = (*env)->GetDirectBufferAddress(env, buffer);
    (*env)->DeleteLocalRef(env, buffer);
    return es_session_bind(session, (uint32_t)number, data ? data + offset : NULL, (size_t)bytes);
}

static void JNICALL run(JNIEnv *env, jclass class, jlong handle, jobjectArray buffers, jlongArray offsets,
                        jlongArray lengths)
{
    (void)class;
    es_session *session = ((network *)es_from_handle(handle))->session;
    jsize count = (*env)->GetArrayLength(env, buffers);
    es_status status = ES_OK;
    for (jsize number = 0; number < count && !status; number++) {
        jlong offset, bytes;
        (*env)->GetLongArrayRegion(env, offsets, number, 1, &offset);
        (*env)->GetLongArrayRegion(env, lengths, number, 1, &bytes);
        if ((*env)->ExceptionCheck(env)) return;
        status = bind(env, session, buffers, number, offset, bytes);
    }
    if (!status) status = es_session_run(session);
    es_jni_throw(env, status, es_session_error(session));
}

/* Java's 0xAARRGGBB numbers become R, G, B, A in memory, in place. */
static void to_rgba(uint8_t *pixels, size_t count)
{
    for (size_t pixel = 0; pixel < count; pixel++, pixels += 4) {
        uint32_t argb;
        memcpy(&argb, pixels, 4);
        pixels[0] = (uint8_t)(argb >> 16);
        pixels[1] = (uint8_t)(argb >> 8);
        pixels[2] = (uint8_t)argb;
        pixels[3] = (uint8_t)(argb >> 24);
    }
}

static void JNICALL preprocess(JNIEnv *env, jclass class, jlong handle, jintArray argb, jint width, jint height,
                               jobject input, jlong bytes)
{
    (void)class;
    const es_model *model = ((network *)es_from_handle(handle))->model;
    float *values = (*env)->GetDirectBufferAddress(env, input);
    jsize count = (*env)->GetArrayLength(env, argb);
    uint8_t *pixels = malloc((size_t)count * 4);
    es_image image = {.pixels = pixels, .width = (uint32_t)width, .height = (uint32_t)height, .channels = 4};
    size_t scratch_bytes = es_image_scratch_bytes(model, &image);
    uint8_t *scratch = malloc(scratch_bytes + 1);
    if (!pixels || !scratch) {
        es_jni_throw(env, ES_MEMORY_EXHAUSTED, "no memory for the picture");
    } else {
        (*env)->GetIntArrayRegion(env, argb, 0, count, (jint *)(void *)pixels);
        to_rgba(pixels, (size_t)count);
        es_status status = es_image_preprocess(model, &image, scratch, scratch_bytes, values, (size_t)bytes);
        es_jni_throw(env, status, "the picture does not become the model's input");
    }
    free(scratch);
    free(pixels);
}

static void JNICALL reset_network(JNIEnv *env, jclass class, jlong handle)
{
    (void)env, (void)class;
    es_session_reset(((network *)es_from_handle(handle))->session);
}

static jstring JNICALL version(JNIEnv *env, jclass class)
{
    (void)class;
    return (*env)->NewStringUTF(env, es_version());
}

static jstring JNICALL cpu(JNIEnv *env, jclass class)
{
    (void)class;
    return (*env)->NewStringUTF(env, es_cpu_description());
}

static jint JNICALL cpu_variants(JNIEnv *env, jclass class)
{
    (void)env, (void)class;
    return (jint)es_cpu_variants();
}

#define METHOD(name, signature, function) {(char *)(name), (char *)(signature), (void *)(function)}
const JNINativeMethod es_jni_network_methods[] = {
    METHOD("version", "()Ljava/lang/String;", version),
    METHOD("cpu", "()Ljava/lang/String;", cpu),
    METHOD("cpuVariants", "()I", cpu_variants),
    METHOD("openNetwork", "([BLjava/nio/Buffer;IJJ[BII)J", open_network),
    METHOD("closeNetwork", "(J)V", close_network),
    METHOD("cancelNetwork", "(J)V", cancel_network),
    METHOD("inputCount", "(J)I", input_count),
    METHOD("port", "(JI)[J", port),
    METHOD("portName", "(JI)[B", port_name),
    METHOD("label", "(JI)[B", label),
    METHOD("endsInSoftmax", "(J)Z", ends_in_softmax),
    METHOD("run", "(J[Ljava/nio/Buffer;[J[J)V", run),
    METHOD("preprocess", "(J[IIILjava/nio/Buffer;J)V", preprocess),
    METHOD("resetNetwork", "(J)V", reset_network),
};
const jint es_jni_network_method_count = sizeof es_jni_network_methods / sizeof *es_jni_network_methods;
