/* malloc and its kin for one module: libc's rounds large blocks up to powers of two, and a model is one large block.
 *
 * The heap is one run of blocks from the end of the module's data to the end of its memory. Free ones are kept in order of
 * address and merged with their neighbours; the first that is large enough is taken, and what it has too much is split off.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, PAGE = 1 << 16 };

/* In front of every block, so that all are aligned alike. */
typedef struct heap_block {
    size_t size; /* with this head */
    struct heap_block *next; /* free blocks: the next one by address */
} heap_block;

typedef struct heap_state {
    heap_block *free;
    uintptr_t end; /* of the memory that belongs to the heap; 0 at first */
    uintptr_t untouched; /* memory from here on is zero */
} heap_state;

extern unsigned char __heap_base;

static heap_state heap;

static uintptr_t round_up(uintptr_t size, uintptr_t unit) { return (size + unit - 1) / unit * unit; }

static bool adjoin(const heap_block *first, const heap_block *second)
{
    return (uintptr_t)first + first->size == (uintptr_t)second;
}

/* Put a block among the free ones. */
static void put_back(heap_block *block)
{
    heap_block *before = NULL, **place = &heap.free;
    while (*place && *place < block) before = *place, place = &before->next;
    block->next = *place;
    *place = block;
    if (block->next && adjoin(block, block->next)) {
        block->size += block->next->size;
        block->next = block->next->next;
    }
    if (before && adjoin(before, block)) {
        before->size += block->size;
        before->next = block->next;
    }
}

/* Ask for as many pages as the last free block lacks; false: there are none. */
static bool grow(size_t size)
{
    if (!heap.end) heap.end = heap.untouched = round_up((uintptr_t)&__heap_base, ALIGNMENT);
    heap_block *last = heap.free;
    while (last && last->next) last = last->next;
    if (last && (uintptr_t)last + last->size != heap.end) last = NULL;
    uintptr_t limit = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE, begin = last ? (uintptr_t)last : heap.end;
    /* The last page of the address space is left out: the end of the heap must be an address. */
    if (size > UINTPTR_MAX - 2 * (uintptr_t)PAGE - begin) return false;
    uintptr_t end = round_up(begin + size, PAGE);
    if (end < limit) end = limit;
    if (end > limit && __builtin_wasm_memory_grow(0, (end - limit) / PAGE) == SIZE_MAX) return false;
    if (last) {
        /* Without a head in between: memory that is untouched must be zero. */
        last->size = end - begin;
    } else {
        heap_block *block = (heap_block *)begin;
        block->size = end - begin;
        put_back(block);
    }
    heap.end = end;
    return true;
}

/* A block that is not yet marked as touched. */
static heap_block *take(size_t wanted)
{
    if (wanted > UINTPTR_MAX - 2 * ALIGNMENT) return NULL;
    size_t size = round_up(wanted, ALIGNMENT) + ALIGNMENT;
    for (bool grown = false;; grown = true) {
        for (heap_block **place = &heap.free; *place; place = &(*place)->next) {
            heap_block *block = *place;
            if (block->size < size) continue;
            heap_block *rest = (heap_block *)((uintptr_t)block + size);
            if (block->size > size) {
                *rest = (heap_block){block->size - size, block->next};
                *place = rest;
            } else {
                *place = block->next;
            }
            block->size = size;
            return block;
        }
        if (grown || !grow(size)) return NULL;
    }
}

static void *use(heap_block *block, bool clear)
{
    if (!block) return NULL;
    uintptr_t begin = (uintptr_t)block + ALIGNMENT, end = (uintptr_t)block + block->size;
    uintptr_t touched = end < heap.untouched ? end : heap.untouched;
    if (clear && touched > begin) memset((void *)begin, 0, touched - begin);
    /* The head of a free block may follow. */
    if (end >= heap.untouched) heap.untouched = end + ALIGNMENT;
    return (void *)begin;
}

void *malloc(size_t size) { return use(take(size), false); }

void *calloc(size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) return NULL;
    return use(take(count * size), true);
}

void *aligned_alloc(size_t alignment, size_t size) { return alignment <= ALIGNMENT ? malloc(size) : NULL; }

void free(void *memory)
{
    if (memory) put_back((heap_block *)((uintptr_t)memory - ALIGNMENT));
}
