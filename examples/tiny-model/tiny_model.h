/* The default model, a GGUF file, embedded in the program: for quoin_model_load_memory. */
#ifndef QUOIN_TINY_MODEL_H
#define QUOIN_TINY_MODEL_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

const void* quoin_tiny_model_data(void); /* aligned to 64 bytes */
size_t quoin_tiny_model_size(void);

#ifdef __cplusplus
}
#endif

#endif
