/* What the parts of the reader share: the file's shell, the memory that the model grows in, and how files are refused.
 *
 * Everything is read twice. The first pass checks all rules and adds up the copies that the model needs; the second has
 * the memory for them and checks the copies. So a file that is refused costs little memory, and one that is changed by
 * another process while it is read can be refused or give other results, never other addresses.
 */
#ifndef ES_READER_H
#define ES_READER_H

#include "crc32.h"
#include "model.h"
#include "records.h"

typedef struct es_bytes {
    const uint8_t *data; /* never NULL */
    uint64_t length;
} es_bytes;

typedef struct es_section {
    const uint8_t *data;
    uint64_t length;
    uint32_t count; /* of records */
} es_section;

typedef struct es_blob {
    es_bytes bytes;
    bool used;
} es_blob;

/* Memory that is handed out from its beginning; without a base it only adds up. */
typedef struct es_region {
    uint8_t *base;
    uint64_t size, used;
} es_region;

typedef struct es_string_node es_string_node;
typedef struct es_written es_written;

typedef struct es_string_table {
    char *pool; /* ends in a zero byte each; the first is empty */
    uint64_t pool_used;
    es_string_node *nodes;
    uint32_t count, root;
    uint64_t named; /* bytes of all different strings */
} es_string_table;

typedef struct es_reader {
    const uint8_t *data; /* the file, or its head when blobs are detached */
    uint64_t length;
    uint64_t file_length; /* with all blobs */
    const void *const *detached;
    size_t detached_count;
    es_section sections[ES_SECTION_TYPES]; /* by type; absent ones are empty */
    uint64_t sections_end;
    es_blob *blobs;
    uint32_t blob_count;
    es_string_table strings;
    es_region scratch; /* of the reader */
    es_region records; /* of the model, in both passes */
    es_region copies;  /* of the model, measured in the first pass */
    es_model *model;   /* as far as it is read */
    es_band *bands;     /* of all matrices */
    es_step *steps;     /* of all plans */
    uint32_t *ports;    /* of all plans */
    uint32_t *order, *spare; /* of the sorts below; as many as there are matrices, ports or steps */
    uint32_t *first_band;    /* of every matrix, and one past the last */
    uint32_t *same;          /* for every matrix the first that differs from it only by its name */
    uint32_t *port_plan;     /* for every tensor the last plan that has it as a port, counted from 1 */
    uint32_t *written_plan;  /* for every tensor the last plan with a step that writes it, counted from 1 */
    es_written *written;     /* what the steps of a plan wrote so far */
    es_crc32_function *crc32;
    const char *name; /* what messages call the file, or NULL */
    es_status status;
    es_error *error;
} es_reader;

/* Note why a file is refused; always false. */
bool es_refuse(es_reader *reader, es_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same about "kind number (name)"; the name is cut. */
bool es_refuse_record(es_reader *reader, es_status status, const char *kind, uint32_t number, const char *name,
                      const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Numbers as words: "(1, 64, 56, 56)". */
typedef struct es_list_text { char text[136]; } es_list_text;
es_list_text es_list(const uint64_t *numbers, uint32_t count);

/* Memory of a region, zeroed at first; NULL without a base. */
void *es_region_take(es_region *region, uint64_t count, size_t size);
/* Memory for a part of the model that the file's numbers size: NULL in the first pass, or if the file has changed,
 * which reader->status then says. */
void *es_take_copy(es_reader *reader, uint64_t count, size_t size);
/* A copy of some bytes, aligned to 16; in the first pass the bytes themselves, at any address. */
const uint8_t *es_keep(es_reader *reader, es_bytes bytes);

/* Check the first 64 bytes alone: sets reader->file_length. container.c */
bool es_read_header(es_reader *reader);
/* Check the shell up to the sections, and from the blobs on; the latter fill reader->blobs. container.c */
bool es_read_sections(es_reader *reader);
bool es_read_blobs(es_reader *reader);
/* Reserved fields of a section's records are zero. container.c */
bool es_check_reserved(es_reader *reader, es_section_type type, uint32_t offset, uint32_t length);
/* A copy of a record, to be read at leisure. container.c */
void es_load_record(const es_reader *reader, es_section_type type, uint32_t number, uint8_t *record);
/* A blob's bytes, none for ES_NO_BLOB. container.c */
bool es_find_blob(es_reader *reader, uint32_t blob, const char *owner, uint32_t number, es_bytes *bytes);
bool es_check_blobs_used(es_reader *reader);

/* The string that a record names. string_table.c */
size_t es_string_node_bytes(void);
bool es_find_string(es_reader *reader, const uint8_t *place, const char **text);

/* Sort numbers 0 … count - 1 into order, equal ones as they were, in a time that no content can make quadratic. */
void es_sort(uint32_t *order, uint32_t *spare, uint32_t count, int (*compare)(const void *, uint32_t, uint32_t),
             const void *context);

/* The record of section MODEL. reader.c */
bool es_read_state_bytes(es_reader *reader, uint64_t *bytes);
bool es_read_tensors(es_reader *reader);
/* Matrices use the bands one behind the other: fills reader->first_band. matrix_places.c */
bool es_chain_bands(es_reader *reader);
/* Fills reader->same. matrix_places.c */
void es_find_same_matrices(es_reader *reader);
bool es_read_matrices(es_reader *reader);
bool es_read_plans(es_reader *reader);
bool es_check_plans(es_reader *reader);
bool es_read_labels(es_reader *reader);
bool es_read_image(es_reader *reader);
bool es_read_tokenizer(es_reader *reader);
bool es_check_metadata(es_reader *reader);

/* Read a whole model into one block of memory. reader.c */
es_status es_read_model(es_reader *reader, const es_model_options *options, es_model **model);
/* Check the plans of a model whose steps and tensors were rewritten in memory. reader.c */
es_status es_check_rewritten(es_model *model, es_error *error);

#endif
