/* All calls to the operating system: files, memory, time, what the CPU has. Threads are in threads.c. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif
#include "os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(_WIN32)
#define ES_WINDOWS 1
#include <io.h>
#include <windows.h>
#elif !defined(__wasm__)
#define ES_POSIX 1
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#if defined(__linux__) && defined(__aarch64__)
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static void *default_allocate(void *context, size_t size)
{
    (void)context;
    if (size > SIZE_MAX - 64 - sizeof(void *)) return NULL;
    /* calloc leaves the pages of large blocks untouched: a cache of 8192 tokens costs what is used of it. */
    char *block = calloc(1, size + 64 + sizeof(void *));
    if (!block) return NULL;
    uintptr_t aligned = ((uintptr_t)block + sizeof(void *) + 63) & ~(uintptr_t)63;
    memcpy((char *)aligned - sizeof(void *), &block, sizeof block);
    return (void *)aligned;
}

static void default_release(void *context, void *memory, size_t size)
{
    (void)context;
    (void)size;
    if (!memory) return;
    void *block;
    memcpy(&block, (char *)memory - sizeof block, sizeof block);
    free(block);
}

const es_allocator es_default_allocator = {default_allocate, default_release, NULL};

static const uint8_t nothing[1];

#if defined(ES_POSIX)
es_status es_map_path(const char *path, es_map *map)
{
    int fd;
    do fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) return errno == ENOENT ? ES_FILE_NOT_FOUND : ES_FILE_UNREADABLE;
    es_status status = es_map_fd(fd, 0, 0, map);
    close(fd);
    return status;
}

es_status es_map_fd(int fd, uint64_t offset, uint64_t length, es_map *map)
{
    memset(map, 0, sizeof *map);
    map->data = nothing;
    struct stat information;
    if (fstat(fd, &information) || !S_ISREG(information.st_mode)) return ES_FILE_UNREADABLE;
    uint64_t size = (uint64_t)information.st_size;
    if (offset > size || length > size - offset) return ES_FILE_TRUNCATED;
    if (!length) length = size - offset;
    if (!length) return ES_OK;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), skipped = offset % page;
    if (length + skipped > SIZE_MAX) return ES_MEMORY_EXHAUSTED;
    void *base = mmap(NULL, (size_t)(length + skipped), PROT_READ, MAP_PRIVATE, fd, (off_t)(offset - skipped));
    if (base == MAP_FAILED) return errno == ENOMEM ? ES_MEMORY_EXHAUSTED : ES_FILE_UNREADABLE;
    /* All of it is read at once, for the checksums. */
    madvise(base, (size_t)(length + skipped), MADV_WILLNEED);
    *map = (es_map){(const uint8_t *)base + skipped, length, base, length + skipped};
    return ES_OK;
}

void es_unmap(es_map *map)
{
    if (map->base) munmap(map->base, (size_t)map->base_length);
    memset(map, 0, sizeof *map);
}
#elif defined(ES_WINDOWS)
static es_status map_handle(HANDLE file, uint64_t offset, uint64_t length, es_map *map)
{
    memset(map, 0, sizeof *map);
    map->data = nothing;
    LARGE_INTEGER information;
    if (!GetFileSizeEx(file, &information)) return ES_FILE_UNREADABLE;
    uint64_t size = (uint64_t)information.QuadPart;
    if (offset > size || length > size - offset) return ES_FILE_TRUNCATED;
    if (!length) length = size - offset;
    if (!length) return ES_OK;
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    uint64_t skipped = offset % system.dwAllocationGranularity, start = offset - skipped;
    if (length + skipped > SIZE_MAX) return ES_MEMORY_EXHAUSTED;
    HANDLE mapping = CreateFileMappingA(file, NULL, PAGE_READONLY, 0, 0, NULL);
    if (!mapping) return ES_FILE_UNREADABLE;
    void *base = MapViewOfFile(mapping, FILE_MAP_READ, (DWORD)(start >> 32), (DWORD)start, (SIZE_T)(length + skipped));
    CloseHandle(mapping);
    if (!base) return ES_FILE_UNREADABLE;
    *map = (es_map){(const uint8_t *)base + skipped, length, base, length + skipped};
    return ES_OK;
}

es_status es_map_path(const char *path, es_map *map)
{
    wchar_t wide[1024];
    if (!MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 1024)) return ES_FILE_UNREADABLE;
    HANDLE file = CreateFileW(wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return GetLastError() == ERROR_FILE_NOT_FOUND || GetLastError() == ERROR_PATH_NOT_FOUND ? ES_FILE_NOT_FOUND
                                                                                                : ES_FILE_UNREADABLE;
    es_status status = map_handle(file, 0, 0, map);
    CloseHandle(file);
    return status;
}

es_status es_map_fd(int fd, uint64_t offset, uint64_t length, es_map *map)
{
    HANDLE file = (HANDLE)_get_osfhandle(fd);
    if (file == INVALID_HANDLE_VALUE) return ES_FILE_UNREADABLE;
    return map_handle(file, offset, length, map);
}

void es_unmap(es_map *map)
{
    if (map->base) UnmapViewOfFile(map->base);
    memset(map, 0, sizeof *map);
}
#else
es_status es_map_path(const char *path, es_map *map)
{
    (void)path;
    memset(map, 0, sizeof *map);
    map->data = nothing;
    return ES_FILE_UNREADABLE;
}

es_status es_map_fd(int fd, uint64_t offset, uint64_t length, es_map *map)
{
    (void)fd, (void)offset, (void)length;
    return es_map_path("", map);
}

void es_unmap(es_map *map) { memset(map, 0, sizeof *map); }
#endif

#if defined(__wasm__)
/* Milliseconds from any start: the one thing that the page is asked for. */
__attribute__((import_module("edge_sparse"), import_name("now"))) double es_page_now(void);
#endif

uint64_t es_nanoseconds(void)
{
#if defined(ES_WINDOWS)
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&frequency);
    uint64_t whole = (uint64_t)(ticks.QuadPart / frequency.QuadPart);
    uint64_t rest = (uint64_t)(ticks.QuadPart % frequency.QuadPart);
    return whole * 1000000000u + rest * 1000000000u / (uint64_t)frequency.QuadPart;
#elif defined(__wasm__)
    return (uint64_t)(es_page_now() * 1e6);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

#if defined(__x86_64__)
/* Bits of CPUID leaf 1 (ECX). Asked directly: zig 0.17 never fills in the table that __builtin_cpu_supports reads, so that
 * it says no to everything, and Android has no such table at all without an NDK. */
enum { X86_PCLMUL = 1 << 1, X86_FMA = 1 << 12, X86_OSXSAVE = 1 << 27, X86_AVX = 1 << 28, X86_F16C = 1 << 29 };

static bool x86_has(unsigned wanted)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & wanted) == wanted;
}
#endif

#if defined(ES_BUILD_AVX2)
static bool x86_has_avx2(void)
{
    enum { AVX2 = 1 << 5, SAVED = 6 }; /* leaf 7, EBX; the system saves SSE and AVX registers */
    unsigned eax, ebx, ecx, edx;
    if (!x86_has(X86_FMA | X86_OSXSAVE | X86_AVX | X86_F16C)) return false;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    if ((eax & SAVED) != SAVED) return false;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & AVX2);
}
#endif

uint32_t es_detect_variants(void)
{
    uint32_t variants = ES_VARIANT_SCALAR;
#if defined(ES_BUILD_VECTOR)
    variants |= ES_VARIANT_VECTOR;
#endif
#if defined(ES_BUILD_AVX2)
    if (x86_has_avx2()) variants |= ES_VARIANT_AVX2;
#endif
#if defined(ES_BUILD_DOTPROD) && defined(__linux__)
    enum { HAS_DOTPROD = 1 << 20 }; /* HWCAP_ASIMDDP */
    if (getauxval(AT_HWCAP) & HAS_DOTPROD) variants |= ES_VARIANT_DOTPROD;
#elif defined(ES_BUILD_DOTPROD) && defined(__APPLE__)
    variants |= ES_VARIANT_DOTPROD; /* every 64-bit Mac has it */
#endif
    return variants;
}

bool es_detect_crc(void)
{
#if defined(__x86_64__)
    return x86_has(X86_PCLMUL);
#elif defined(__linux__) && defined(__aarch64__)
    enum { HAS_CRC32 = 1 << 7 }; /* HWCAP_CRC32 */
    return (getauxval(AT_HWCAP) & HAS_CRC32) != 0;
#elif defined(__APPLE__) && defined(__aarch64__)
    return true;
#else
    return false;
#endif
}
