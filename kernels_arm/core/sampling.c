/* How the next token is chosen from logits. */
#include "sampling.h"

#include <math.h>
#include <string.h>

es_pcg32 es_pcg32_start(uint64_t seed)
{
    return (es_pcg32){(109u + seed) * 6364136223846793005u + 109u};
}

uint32_t es_pcg32_next(es_pcg32 *random)
{
    uint64_t old = random->state;
    random->state = old * 6364136223846793005u + 109u;
    uint32_t mixed = (uint32_t)((old >> 18 ^ old) >> 27), turn = (uint32_t)(old >> 59);
    return mixed >> turn | mixed << (-turn & 31);
}

size_t es_sampler_bytes(uint32_t vocabulary) { return (size_t)vocabulary * 12 + (size_t)vocabulary / 8 + 1; }

es_sampler es_sampler_in(uint8_t *memory, uint32_t vocabulary)
{
    uint8_t *heap = memory + (size_t)vocabulary * 8;
    return (es_sampler){vocabulary, (double *)(void *)memory, (uint32_t *)(void *)heap, heap + (size_t)vocabulary * 4};
}

bool es_sampling_valid(const es_sampling *sampling)
{
    bool finite = isfinite(sampling->temperature) && isfinite(sampling->repetition_penalty);
    return finite && sampling->temperature >= 0.0f && sampling->top_p > 0.0f && sampling->top_p <= 1.0f &&
           sampling->min_p >= 0.0f && sampling->min_p < 1.0f && sampling->repetition_penalty > 0.0f;
}

static void penalise(es_sampler *sampler, double penalty, const int32_t *context, size_t count)
{
    memset(sampler->seen, 0, (size_t)sampler->vocabulary / 8 + 1);
    for (size_t at = 0; at < count; at++) {
        if (context[at] < 0 || (uint32_t)context[at] >= sampler->vocabulary) continue;
        uint32_t token = (uint32_t)context[at];
        if (sampler->seen[token / 8] >> token % 8 & 1) continue;
        sampler->seen[token / 8] |= (uint8_t)(1u << token % 8);
        double *score = &sampler->scores[token];
        *score = *score > 0.0 ? *score / penalty : *score * penalty;
    }
}

/* Logits after the penalty, in scores, and the best of them. A broken model must not sample at random. */
static bool find_best(es_sampler *sampler, const float *logits, double penalty, const int32_t *context, size_t count,
                      uint32_t *best)
{
    double largest = -INFINITY;
    for (uint32_t token = 0; token < sampler->vocabulary; token++) {
        if (isnan(logits[token])) return false;
        sampler->scores[token] = logits[token];
        if (logits[token] > largest) largest = logits[token];
    }
    if (!isfinite(largest)) return false; /* -inf alone excludes a token */
    if (penalty != 1.0) penalise(sampler, penalty, context, count);
    *best = 0;
    for (uint32_t token = 1; token < sampler->vocabulary; token++)
        if (sampler->scores[token] > sampler->scores[*best]) *best = token;
    return true;
}

/* ---- Tokens from the best on: a heap gives them one by one, because few are wanted. ------------------------------- */

static bool above(const es_sampler *sampler, uint32_t left, uint32_t right)
{
    double a = sampler->scores[left], b = sampler->scores[right];
    return a > b || (a == b && left < right);
}

static void sink(es_sampler *sampler, size_t count, size_t place)
{
    uint32_t *heap = sampler->heap, token = heap[place];
    for (size_t child; (child = 2 * place + 1) < count; place = child) {
        if (child + 1 < count && above(sampler, heap[child + 1], heap[child])) child++;
        if (!above(sampler, heap[child], token)) break;
        heap[place] = heap[child];
    }
    heap[place] = token;
}

static void build_heap(es_sampler *sampler)
{
    for (uint32_t token = 0; token < sampler->vocabulary; token++) sampler->heap[token] = token;
    for (size_t place = sampler->vocabulary / 2; place > 0; place--) sink(sampler, sampler->vocabulary, place - 1);
}

/* The token of a rank, from 0 on; *taken of the best are sorted already. */
static uint32_t ranked(es_sampler *sampler, uint32_t rank, uint32_t *taken)
{
    uint32_t *heap = sampler->heap, vocabulary = sampler->vocabulary;
    for (; *taken <= rank; (*taken)++) {
        size_t last = vocabulary - 1 - *taken;
        uint32_t token = heap[0];
        heap[0] = heap[last];
        heap[last] = token;
        sink(sampler, last, 0);
    }
    return heap[vocabulary - 1 - rank];
}

/* The draw of docs/generation.md, from scores whose largest is 0. */
static int32_t draw(es_sampler *sampler, const es_sampling *sampling, double uniform)
{
    uint32_t vocabulary = sampler->vocabulary, taken = 0;
    uint32_t kept = sampling->top_k && sampling->top_k < vocabulary ? sampling->top_k : vocabulary;
    const double *scores = sampler->scores;
    double mass = 0.0;
    build_heap(sampler);
    for (uint32_t rank = 0; rank < kept; rank++)
        mass += exp(scores[kept == vocabulary ? rank : ranked(sampler, rank, &taken)]);
    if (sampling->top_p < 1.0f) {
        double wanted = (double)sampling->top_p * mass, sum = 0.0;
        uint32_t rank = 0;
        while (rank < kept && sum < wanted) sum += exp(scores[ranked(sampler, rank++, &taken)]);
        kept = rank;
        mass = sum;
    }
    if (sampling->min_p > 0.0f) {
        double lowest = log((double)sampling->min_p), sum = 0.0;
        uint32_t rank = 0;
        while (rank < kept && scores[ranked(sampler, rank, &taken)] >= lowest)
            sum += exp(scores[ranked(sampler, rank++, &taken)]);
        if (rank < kept) mass = sum;
        kept = rank;
    }
    double running = 0.0;
    uint32_t rank = 0;
    while (rank < kept && running <= uniform * mass) running += exp(scores[ranked(sampler, rank++, &taken)]);
    return (int32_t)ranked(sampler, rank - 1, &taken);
}

es_status es_choose_token(es_sampler *sampler, const es_sampling *sampling, const float *logits,
                          const int32_t *context, size_t count, es_pcg32 *random, int32_t *token)
{
    uint32_t best;
    if (!find_best(sampler, logits, sampling->repetition_penalty, context, count, &best)) return ES_LOGITS_NOT_FINITE;
    *token = (int32_t)best;
    if (sampling->temperature == 0.0f) return ES_OK;
    double largest = sampler->scores[best], temperature = sampling->temperature;
    for (uint32_t other = 0; other < sampler->vocabulary; other++)
        sampler->scores[other] = (sampler->scores[other] - largest) / temperature;
    *token = draw(sampler, sampling, es_pcg32_next(random) / 4294967296.0);
    return ES_OK;
}
