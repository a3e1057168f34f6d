/* Loading the library in a JVM, and what the Java functions share. */
#include "jni_support.h"

#include <stdlib.h>
#include <string.h>

void es_jni_throw(JNIEnv *env, es_status status, const char *message)
{
    if (status == ES_OK || (*env)->ExceptionCheck(env)) return;
    /* Looked up here: classes that are kept would have to be global references, and this is the rare way out. */
    jclass class = (*env)->FindClass(env, "edgesparse/EdgeSparseException");
    if (!class) return;
    jmethodID constructor = (*env)->GetMethodID(env, class, "<init>", "(Ljava/lang/String;Ljava/lang/String;[B)V");
    if (!constructor) return;
    jstring code = (*env)->NewStringUTF(env, es_status_name(status));
    if (!code) return;
    jstring hint = (*env)->NewStringUTF(env, es_status_hint(status));
    if (!hint) return;
    jbyteArray text = es_jni_text(env, message);
    if (!text) return;
    jobject exception = (*env)->NewObject(env, class, constructor, code, hint, text);
    if (exception) (*env)->Throw(env, exception);
}

jbyteArray es_jni_bytes(JNIEnv *env, const char *bytes, size_t length)
{
    if (!bytes) return NULL;
    jbyteArray array = (*env)->NewByteArray(env, (jsize)length);
    if (array) (*env)->SetByteArrayRegion(env, array, 0, (jsize)length, (const jbyte *)bytes);
    return array;
}

jbyteArray es_jni_text(JNIEnv *env, const char *text) { return text ? es_jni_bytes(env, text, strlen(text)) : NULL; }

char *es_jni_copy(JNIEnv *env, jbyteArray array, size_t *length)
{
    jsize count = (*env)->GetArrayLength(env, array);
    char *copy = malloc((size_t)count + 1);
    if (!copy) {
        es_jni_throw(env, ES_MEMORY_EXHAUSTED, "no memory for a text");
        return NULL;
    }
    (*env)->GetByteArrayRegion(env, array, 0, count, (jbyte *)copy);
    copy[count] = 0;
    if (length) *length = (size_t)count;
    return copy;
}

es_model *es_jni_open(JNIEnv *env, const es_jni_source *source)
{
    es_model *model = NULL;
    es_error error = {""};
    es_status status = ES_ARGUMENT_NULL;
    if (source->path) {
        char *path = es_jni_copy(env, source->path, NULL);
        if (!path) return NULL;
        status = es_model_open(path, NULL, &model, &error);
        free(path);
    } else if (source->memory) {
        const char *data = (*env)->GetDirectBufferAddress(env, source->memory);
        if (data) status = es_model_open_memory(data + source->offset, (size_t)source->length, NULL, &model, &error);
    } else {
        status = es_model_open_fd(source->fd, (uint64_t)source->offset, (uint64_t)source->length, NULL, &model, &error);
    }
    es_jni_throw(env, status, error.message);
    return model;
}

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *machine, void *reserved)
{
    (void)reserved;
    void *env_address = NULL;
    if ((*machine)->GetEnv(machine, &env_address, JNI_VERSION_1_6) != JNI_OK) return JNI_ERR;
    JNIEnv *env = env_address;
    jclass native = (*env)->FindClass(env, "edgesparse/Native");
    if (!native) return JNI_ERR;
    if ((*env)->RegisterNatives(env, native, es_jni_network_methods, es_jni_network_method_count)) return JNI_ERR;
    if ((*env)->RegisterNatives(env, native, es_jni_text_methods, es_jni_text_method_count)) return JNI_ERR;
    return JNI_VERSION_1_6;
}
