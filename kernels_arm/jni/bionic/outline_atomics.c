/* The atomic functions that zig calls on 64-bit ARM, and that a compiler's run-time library would bring: always by
 * exclusive loads and stores, which every ARMv8 has. Only registers 15 to 17 may change, hence assembly. The strongest
 * order serves all; the core uses atomics a few times a step. */
#if !defined(__aarch64__)
#error "for 64-bit ARM"
#endif

#define FUNCTION(name, order, body) \
    __asm__(".text\n.balign 16\n.hidden __aarch64_" name order "\n.globl __aarch64_" name order "\n" \
            ".type __aarch64_" name order ",%function\n__aarch64_" name order ":\n" body);
#define ALL_ORDERS(name, body)          \
    FUNCTION(name, "_relax", body)      \
    FUNCTION(name, "_acq", body)        \
    FUNCTION(name, "_rel", body)        \
    FUNCTION(name, "_acq_rel", body)
/* value in register 0, address in 1; returns what was there */
#define UPDATE(name, r, operation)                                                                                     \
    ALL_ORDERS(name, "1: ldaxr " r "16, [x1]\n" operation "\nstlxr w15, " r "17, [x1]\ncbnz w15, 1b\nmov " r "0, " r   \
                     "16\nret\n")
/* expected value in register 0, new one in 1, address in 2; returns what was there */
#define COMPARE(name, r)                                                                                               \
    ALL_ORDERS(name, "1: ldaxr " r "16, [x2]\ncmp " r "16, " r "0\nb.ne 2f\nstlxr w15, " r                            \
                     "1, [x2]\ncbnz w15, 1b\n2: mov " r "0, " r "16\nret\n")

UPDATE("ldadd4", "w", "add w17, w16, w0")
UPDATE("ldadd8", "x", "add x17, x16, x0")
UPDATE("swp4", "w", "mov w17, w0")
UPDATE("swp8", "x", "mov x17, x0")
COMPARE("cas4", "w")
COMPARE("cas8", "x")
