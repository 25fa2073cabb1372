#include "tiny_model.h"

#if defined(__APPLE__)
#define SECTION ".const_data"
#define SYMBOL(name) "_" name
#else
#define SECTION ".section .rodata"
#define SYMBOL(name) name
#endif

/* clang-format off */
__asm__(SECTION "\n"
        ".balign 64\n"
        SYMBOL("quoin_tiny_model_begin") ":\n"
        ".incbin \"" QUOIN_TINY_MODEL_FILE "\"\n"
        SYMBOL("quoin_tiny_model_end") ":\n"
        ".byte 0\n"
        ".text\n");
/* clang-format on */

extern const char quoin_tiny_model_begin[];
extern const char quoin_tiny_model_end[];

const void* quoin_tiny_model_data(void) {
    return quoin_tiny_model_begin;
}

size_t quoin_tiny_model_size(void) {
    return (size_t)(quoin_tiny_model_end - quoin_tiny_model_begin);
}
