/* The strings that records name, each copied and checked once however many records name it.
 *
 * Places are kept in a tree of bits (each inner node says at which bit two halves of the places differ), since a file
 * could be made to let every place fall into one bucket of a hash table.
 */
#include <inttypes.h>
#include <stdatomic.h>

#include "reader.h"
#include "utf8.h"

/* Leaf i is the i-th string; inner node i was made to add it. Children are 2 · number, plus 1 for leaves. */
struct es_string_node {
    uint64_t place; /* of the leaf: offset in the upper half, length in the lower */
    uint32_t text;  /* of the leaf, in the pool */
    uint32_t bit;   /* of the inner node */
    uint32_t children[2];
};

size_t es_string_node_bytes(void) { return sizeof(es_string_node); }

static uint32_t nearest_leaf(const es_string_table *table, uint64_t place)
{
    uint32_t node = table->root;
    while (!(node & 1)) node = table->nodes[node >> 1].children[place >> table->nodes[node >> 1].bit & 1];
    return node >> 1;
}

static void insert(es_string_table *table, uint64_t place, uint32_t text)
{
    uint32_t number = table->count++, leaf = 2 * number + 1;
    es_string_node *added = &table->nodes[number];
    added->place = place;
    added->text = text;
    if (!number) {
        table->root = leaf;
        return;
    }
    uint64_t difference = place ^ table->nodes[nearest_leaf(table, place)].place;
    added->bit = 63 - (uint32_t)__builtin_clzll(difference);
    uint32_t *link = &table->root;
    while (!(*link & 1) && table->nodes[*link >> 1].bit > added->bit) {
        es_string_node *node = &table->nodes[*link >> 1];
        link = &node->children[place >> node->bit & 1];
    }
    uint32_t side = place >> added->bit & 1;
    added->children[side] = leaf;
    added->children[!side] = *link;
    *link = 2 * number;
}

bool es_find_string(es_reader *reader, const uint8_t *record, const char **text)
{
    es_string_table *table = &reader->strings;
    const es_section *section = &reader->sections[ES_SECTION_STRINGS];
    uint32_t offset = es_load_u32(record), length = es_load_u32(record + 4);
    uint64_t place = (uint64_t)offset << 32 | length;
    *text = table->pool;
    if (length && table->count) {
        const es_string_node *known = &table->nodes[nearest_leaf(table, place)];
        if (known->place == place) {
            *text = table->pool + known->text;
            return true;
        }
    }
    if ((uint64_t)offset + length > section->length)
        return es_refuse(reader, ES_STRING_RANGE, "a string at byte %u of %u bytes leaves a section of %" PRIu64,
                         (unsigned)offset, (unsigned)length, section->length);
    /* Strings that overlap could make a small file name any number of bytes. */
    table->named += length;
    if (table->named > section->length)
        return es_refuse(reader, ES_STRING_OVERLAP, "the string at byte %u of %u bytes overlaps with others",
                         (unsigned)offset, (unsigned)length);
    if (!length) return true;
    uint8_t *copy = (uint8_t *)table->pool + table->pool_used;
    memcpy(copy, section->data + offset, length);
    atomic_signal_fence(memory_order_seq_cst);
    if (!es_is_utf8(copy, length))
        return es_refuse(reader, ES_STRING_UTF8, "the string at byte %u is not UTF-8", (unsigned)offset);
    if (es_has_controls(copy, length))
        return es_refuse(reader, ES_STRING_CONTROL, "the string at byte %u holds control characters", (unsigned)offset);
    copy[length] = 0;
    insert(table, place, (uint32_t)table->pool_used);
    *text = (const char *)copy;
    table->pool_used += (uint64_t)length + 1;
    return true;
}
