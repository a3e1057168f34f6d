/* What the Java functions share: errors as exceptions, bytes of arrays, opening a model from a path, memory or file. */
#ifndef EDGE_SPARSE_JNI_SUPPORT_H
#define EDGE_SPARSE_JNI_SUPPORT_H

#include <jni.h>

#include "edge_sparse.h"

/* Handles are pointers. */
static inline jlong es_to_handle(void *object) { return (jlong)(intptr_t)object; }
static inline void *es_from_handle(jlong handle) { return (void *)(intptr_t)handle; }

/* Throw EdgeSparseException; does nothing after success or when something was thrown already. */
void es_jni_throw(JNIEnv *env, es_status status, const char *message);

/* A new byte array, NULL for NULL or with a pending exception. */
jbyteArray es_jni_bytes(JNIEnv *env, const char *bytes, size_t length);
jbyteArray es_jni_text(JNIEnv *env, const char *text);

/* A copy of an array that ends with a zero byte; free it. NULL with a pending exception. */
char *es_jni_copy(JNIEnv *env, jbyteArray array, size_t *length);

/* Where a file is: the first of path and memory that is not NULL, else the descriptor. */
typedef struct es_jni_source {
    jbyteArray path;
    jobject memory;
    jint fd;
    jlong offset, length;
} es_jni_source;

/* NULL with a pending exception. */
es_model *es_jni_open(JNIEnv *env, const es_jni_source *source);

extern const JNINativeMethod es_jni_network_methods[];
extern const jint es_jni_network_method_count;
extern const JNINativeMethod es_jni_text_methods[];
extern const jint es_jni_text_method_count;

#endif
