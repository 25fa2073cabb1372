// quoin.h: neural networks on the CPU, inside your program. Read from top to bottom it is the manual.
//
// A first program:
//
//     #include <quoin/quoin.h>
//     #include <stdio.h>
//
//     static int32_t print(const quoin_piece* piece, void* user_data) {
//         (void)user_data;
//         fwrite(piece->text, 1, piece->text_length, stdout);
//         return 0;
//     }
//
//     int main(void) {
//         quoin_model* model = NULL;
//         quoin_context* context = NULL;
//         quoin_sequence* sequence = NULL;
//         quoin_status status = quoin_model_load_file(NULL, "model.gguf", QUOIN_STRLEN, NULL, &model);
//         if (!status) status = quoin_context_create(model, NULL, &context);
//         if (!status) status = quoin_sequence_create(context, NULL, &sequence);
//         if (!status) status = quoin_sequence_append_text(sequence, "Once upon a time", QUOIN_STRLEN, 0);
//         if (!status) status = quoin_sequence_generate(sequence, NULL, NULL, print, NULL, NULL);
//         if (status) fprintf(stderr, "%s\n", quoin_last_error());
//         quoin_sequence_destroy(sequence);
//         quoin_context_destroy(context);
//         quoin_model_destroy(model);
//         return status != QUOIN_OK;
//     }
//
// Rules that hold for every declaration, so that they are not repeated below:
//
// Failure     A function that can fail returns a quoin_status and sets quoin_last_error(). Its outputs are then
//             untouched, except where a needed count is written. Nothing aborts, exits, prints or throws.
// Ownership   quoin_X_create and quoin_X_load_* give an object that quoin_X_destroy ends; destroying NULL does nothing.
//             An object keeps alive the weights and threads of what it was made from, so any order of destruction is
//             right. Everything else that comes out as a pointer is borrowed from a handle and ends with that handle,
//             or sooner where its comment, or the one above its group, says so.
// Threads     const quoin_x* : any number of threads at once, as long as none uses the same object without const.
//             quoin_x*       : one thread at a time.
//             Functions without an object may be called by any thread. Exceptions say so. A thread that runs a model
//             needs 128 KiB of stack.
// Strings in  UTF-8, pointer + length in bytes; QUOIN_STRLEN as the length means: zero-terminated. They are copied.
//             NULL with length 0 is the empty string.
// Data out    Buffer + capacity + needed count. When the buffer is too small the count is written, nothing else, and
//             the status is QUOIN_ERROR_BUFFER_TOO_SMALL. A NULL buffer only asks for the count and gives QUOIN_OK.
//             Text is not zero-terminated.
// Structs     Set struct_size to sizeof(the struct) and everything else to zero; zero is always the default, and NULL
//             in place of an options struct is all defaults. C99: quoin_context_options o = {.struct_size = sizeof(o)};
//             Structs that the library fills want struct_size set, too. Structs grow at the end in later releases;
//             reserved fields are zero.
// Flags       int32_t where 0 is no and anything else yes.
// Callbacks   A function and a void* user_data that is handed to it. Unless stated otherwise it runs on the thread that
//             called into the library, and a non-zero return stops the work: the call gives QUOIN_CANCELLED. A callback
//             must return (no exception, no longjmp) and must not use the object that is calling it.
// NULL        In place of an object: QUOIN_ERROR_INVALID_ARGUMENT, or 0 where no status is returned. In place of a
//             runtime: a private one with default options.
// Versions    From 1.0 on, within a major version no function, field, value or meaning changes or goes away; before,
//             within a minor version (0.1.0 to 0.1.9).
#ifndef QUOIN_QUOIN_H
#define QUOIN_QUOIN_H

#include <stddef.h>
#include <stdint.h>

// Define QUOIN_STATIC when linking the static library (the CMake and pkg-config packages do it for you).
#if defined(QUOIN_STATIC)
#define QUOIN_API
#elif defined(_WIN32) && defined(QUOIN_BUILDING)
#define QUOIN_API __declspec(dllexport)
#elif defined(_WIN32)
#define QUOIN_API __declspec(dllimport)
#elif defined(__GNUC__)
#define QUOIN_API __attribute__((visibility("default")))
#else
#define QUOIN_API
#endif

#ifdef __cplusplus
#define QUOIN_STRLEN static_cast<size_t>(-1)
extern "C" {
#else
#define QUOIN_STRLEN ((size_t)-1)
#endif

// ---------------------------------------------------------------------------------------------------------------------
// Library
// ---------------------------------------------------------------------------------------------------------------------

// The version of this header, to compare with quoin_version(), the version of the library that was linked.
#define QUOIN_VERSION_MAJOR 0
#define QUOIN_VERSION_MINOR 1
#define QUOIN_VERSION_PATCH 0
#define QUOIN_VERSION ((QUOIN_VERSION_MAJOR << 24) | (QUOIN_VERSION_MINOR << 16) | QUOIN_VERSION_PATCH)

QUOIN_API uint32_t quoin_version(void);            // major << 24 | minor << 16 | patch
QUOIN_API const char* quoin_version_string(void);  // "0.1.0"; static
// Compiler, instruction sets and libraries that it was built with, one line; for bug reports. Static.
QUOIN_API const char* quoin_build_info(void);

// 0: success. Negative: failure, in blocks of one hundred by class. There are no positive ones.
typedef int32_t quoin_status;
enum {
    QUOIN_OK = 0,
    QUOIN_ERROR_INVALID_ARGUMENT = -100,  // can never work: a NULL, an unknown name, a value out of range
    QUOIN_ERROR_BUFFER_TOO_SMALL = -101,  // the needed count was written; call again with more room
    QUOIN_ERROR_INVALID_STATE = -102,     // right call, wrong moment: this object is at work on another thread
    QUOIN_ERROR_NOT_FOUND = -103,         // no such name, index or key
    QUOIN_ERROR_IO = -200,                // the system or a read callback could not deliver the bytes
    QUOIN_ERROR_INVALID_MODEL = -201,     // the bytes are not a well-formed model
    QUOIN_ERROR_UNSUPPORTED = -202,       // well-formed, but this version or this kind of model cannot do it
    QUOIN_ERROR_OUT_OF_MEMORY = -300,     // the machine or the runtime's budget has no more
    QUOIN_ERROR_CONTEXT_FULL = -301,      // the context has no room for these tokens or for one more sequence
    QUOIN_CANCELLED = -400,               // a callback or another thread asked to stop
    QUOIN_ERROR_INTERNAL = -900           // a defect of the library; please report it
};

// Name of a status, as "invalid argument"; never NULL. Static.
QUOIN_API const char* quoin_status_string(quoin_status status);
// What went wrong in this thread's last failed call: what, where (file, tensor, key), what to do. "" before the first
// failure; never NULL. Valid until the next failing call of the same thread.
QUOIN_API const char* quoin_last_error(void);

enum { QUOIN_LOG_OFF = 0, QUOIN_LOG_ERROR = 1, QUOIN_LOG_WARNING = 2, QUOIN_LOG_INFO = 3, QUOIN_LOG_DEBUG = 4 };
typedef void (*quoin_log_callback)(int32_t level, const char* text, size_t length, void* user_data);
// One callback for the whole process (the only global setting); NULL, as at the start, is silence. Messages above
// `level` are not made. The callback may run on any thread, one call at a time, and must not call Quoin. When this
// returns, the callback that was set before is no longer running.
QUOIN_API quoin_status quoin_log_set(int32_t level, quoin_log_callback callback, void* user_data);

typedef struct quoin_cpu {
    size_t struct_size;
    const char* name;          // "AMD EPYC ...", or "unknown"; static, like the two below
    const char* isa_detected;  // best instruction set that machine and library share: "baseline", "avx2", "avx512", ...
    const char* isa_default;   // the one that is used without an option; lower when the variable QUOIN_ISA caps it
                               // (an unknown name there caps nothing here, but no runtime can be created with it);
                               // to know it, Linux is asked for tile registers as quoin_runtime_create() does
    int32_t processors;        // that this process may run on
    int32_t reserved;
} quoin_cpu;
QUOIN_API quoin_status quoin_cpu_info(quoin_cpu* out);

// Element types. Plain types have the numbers of ONNX, block formats 100 + those of GGUF.
enum {
    QUOIN_DTYPE_UNDEFINED = 0,
    QUOIN_DTYPE_F32 = 1,
    QUOIN_DTYPE_U8 = 2,
    QUOIN_DTYPE_I8 = 3,
    QUOIN_DTYPE_U16 = 4,
    QUOIN_DTYPE_I16 = 5,
    QUOIN_DTYPE_I32 = 6,
    QUOIN_DTYPE_I64 = 7,
    QUOIN_DTYPE_STRING = 8,
    QUOIN_DTYPE_BOOL = 9,
    QUOIN_DTYPE_F16 = 10,
    QUOIN_DTYPE_F64 = 11,
    QUOIN_DTYPE_U32 = 12,
    QUOIN_DTYPE_U64 = 13,
    QUOIN_DTYPE_BF16 = 16,
    QUOIN_DTYPE_F8E4M3FN = 17,
    QUOIN_DTYPE_F8E4M3FNUZ = 18,
    QUOIN_DTYPE_F8E5M2 = 19,
    QUOIN_DTYPE_F8E5M2FNUZ = 20,
    QUOIN_DTYPE_U4 = 21,
    QUOIN_DTYPE_I4 = 22,
    QUOIN_DTYPE_F4E2M1 = 23,
    QUOIN_DTYPE_F8E8M0 = 24,
    QUOIN_DTYPE_U2 = 25,
    QUOIN_DTYPE_I2 = 26,
    QUOIN_DTYPE_Q4_0 = 102,
    QUOIN_DTYPE_Q4_1 = 103,
    QUOIN_DTYPE_Q5_0 = 106,
    QUOIN_DTYPE_Q5_1 = 107,
    QUOIN_DTYPE_Q8_0 = 108,
    QUOIN_DTYPE_Q2_K = 110,
    QUOIN_DTYPE_Q3_K = 111,
    QUOIN_DTYPE_Q4_K = 112,
    QUOIN_DTYPE_Q5_K = 113,
    QUOIN_DTYPE_Q6_K = 114,
    QUOIN_DTYPE_IQ2_XXS = 116,
    QUOIN_DTYPE_IQ2_XS = 117,
    QUOIN_DTYPE_IQ3_XXS = 118,
    QUOIN_DTYPE_IQ1_S = 119,
    QUOIN_DTYPE_IQ4_NL = 120,
    QUOIN_DTYPE_IQ3_S = 121,
    QUOIN_DTYPE_IQ2_S = 122,
    QUOIN_DTYPE_IQ4_XS = 123,
    QUOIN_DTYPE_IQ1_M = 129,
    QUOIN_DTYPE_TQ1_0 = 134,
    QUOIN_DTYPE_TQ2_0 = 135,
    QUOIN_DTYPE_MXFP4 = 139
};
// "f32", "q4_0", ...; "undefined" for a number that is none. Static.
QUOIN_API const char* quoin_dtype_name(int32_t dtype);
// The number of a name in lower case; QUOIN_DTYPE_UNDEFINED when there is none.
QUOIN_API int32_t quoin_dtype_from_name(const char* name, size_t name_length);

// ---------------------------------------------------------------------------------------------------------------------
// Runtime: worker threads and memory, shared by all models that are loaded with it
// ---------------------------------------------------------------------------------------------------------------------

typedef struct quoin_runtime quoin_runtime;

// A block of `bytes` > 0 aligned to `alignment` (a power of two), or NULL. Any thread may call, several at once.
typedef void* (*quoin_allocate_function)(size_t bytes, size_t alignment, void* user_data);
// Takes back a block of quoin_allocate_function with the same `bytes`.
typedef void (*quoin_release_function)(void* block, size_t bytes, void* user_data);

typedef struct quoin_runtime_options {
    size_t struct_size;
    int32_t threads;  // threads that work on one step, the caller's included, at most 1024; 0: one per processor that
                      // this process may run on (on processors with two threads per core half as many may be faster)
    int32_t reserved;
    const int32_t* affinity;  // processor numbers, 0 to 1023: worker i, 1 to threads - 1, is pinned to affinity[i %
    size_t affinity_count;    // affinity_count] where the system can; the caller's thread never. NULL: not pinned
    const char* isa;  // use at most this instruction set: "baseline", "avx2", "avxvnni", "avx512", "avx512vnni",
                      // "avx512bf16" (with VNNI and BF16), "amxint8"; on Arm "baseline", "dotprod", "i8mm"; NULL: the
                      // best. Where "amxint8" is allowed, Linux is asked for tile registers: for the process, for good.
    size_t isa_length;
    uint64_t memory_budget_bytes;      // most that weights, KV pages and arenas may take together; 0: no limit
    quoin_allocate_function allocate;  // for these large blocks; NULL: the system's. Both functions or none.
    quoin_release_function release;    // called until the last object that was made with the runtime is destroyed
    void* allocator_user_data;
} quoin_runtime_options;

QUOIN_API quoin_status quoin_runtime_create(const quoin_runtime_options* options, quoin_runtime** out);
QUOIN_API void quoin_runtime_destroy(quoin_runtime* runtime);

QUOIN_API int32_t quoin_runtime_threads(const quoin_runtime* runtime);
QUOIN_API const char* quoin_runtime_isa(const quoin_runtime* runtime);        // the one in use; static
QUOIN_API uint64_t quoin_runtime_memory_bytes(const quoin_runtime* runtime);  // large blocks in use now

// What this machine can do with the runtime's threads and instruction set, measured now: the yardstick for every speed.
typedef struct quoin_limits {
    size_t struct_size;
    double dram_bytes_per_second;       // reading memory far larger than the caches
    double int8_operations_per_second;  // multiply and add count as two
    double f32_operations_per_second;
    double bf16_operations_per_second;  // with bf16 instructions; as f32 where there are none
} quoin_limits;
// Takes about two seconds and 512 MiB beside the budget (QUOIN_ERROR_OUT_OF_MEMORY without them), in turn with what
// runs on the runtime; other work on the machine falsifies it.
QUOIN_API quoin_status quoin_runtime_measure_limits(const quoin_runtime* runtime, quoin_limits* out);

// ---------------------------------------------------------------------------------------------------------------------
// Model: weights and graph, immutable after loading, shared by any number of threads, sessions and contexts.
// What it hands out as a pointer, the tokenizer among it, is borrowed and ends with quoin_model_destroy, even while
// contexts or sessions keep the weights.
// ---------------------------------------------------------------------------------------------------------------------

typedef struct quoin_model quoin_model;

// `fraction` rises from 0 to 1.
typedef int32_t (*quoin_progress_callback)(double fraction, void* user_data);

enum {
    QUOIN_MMAP_AUTO = 0,  // map the file where the system allows it
    QUOIN_MMAP_NEVER = 1  // read it, for file systems that are slow or may vanish
};

typedef struct quoin_model_options {
    size_t struct_size;
    quoin_progress_callback progress;
    void* progress_user_data;
    // Take this implementation for the heavy ops where it can: "native" (Quoin's kernels), "onednn", "eigen",
    // "reference" (plain loops in double precision, slow); what it cannot do, the next best does. "best": the one for
    // each op that was measured to be the fastest. NULL: the environment variable QUOIN_PROVIDER or else "best".
    // QUOIN_ERROR_UNSUPPORTED when this build or the runtime's instruction set is without it.
    const char* provider;
    size_t provider_length;
    int32_t mmap_mode;      // QUOIN_MMAP_*
    int32_t metadata_only;  // flag: no weights and no graph, only metadata and tokenizer (none where this version does
                            // not know it); GGUF files of any architecture, ONNX files with any operators
    // "bf16": products with constant f32 weights (convolutions, where oneDNN takes them, and matrix products) are of
    // numbers rounded to bf16, summed in f32: faster and less exact, so look at the results (quoin compare).
    // QUOIN_ERROR_UNSUPPORTED where the CPU or the runtime's instruction set has no bf16 products. NULL or "f32": as
    // the model says.
    const char* arithmetic;
    size_t arithmetic_length;
    // What initializers of ONNX files are that are also inputs, as older exporters list all weights. 0: constants,
    // which makes models fast. 1: in files of IR version 4 and later, inputs that need not be set and then have the
    // value of the file. (In older files they are constants by definition.)
    int32_t overridable_initializers;
    int32_t reserved;
} quoin_model_options;

// The format, GGUF or ONNX, is recognised by the content. A GGUF file without tensors, as vocabularies are published,
// loads as with metadata_only. Weights of an ONNX model may lie in files beside it, in its folder or below (no "..", no
// links); such a model can be loaded by its path only, else the status is QUOIN_ERROR_UNSUPPORTED.
QUOIN_API quoin_status quoin_model_load_file(const quoin_runtime* runtime, const char* path, size_t path_length,
                                             const quoin_model_options* options, quoin_model** out);

// `data` must be aligned to 8 bytes and stay unchanged until the model and everything made from it is destroyed.
QUOIN_API quoin_status quoin_model_load_memory(const quoin_runtime* runtime, const void* data, size_t size,
                                               const quoin_model_options* options, quoin_model** out);

// Fills `buffer` with `length` bytes from `offset` and returns 0; anything else fails the load with QUOIN_ERROR_IO.
// Called during the load only, perhaps by several threads, but one at a time.
typedef int32_t (*quoin_read_callback)(uint64_t offset, void* buffer, size_t length, void* user_data);
typedef struct quoin_reader {
    size_t struct_size;
    uint64_t size;  // bytes in all
    quoin_read_callback read;
    void* user_data;
} quoin_reader;
QUOIN_API quoin_status quoin_model_load_reader(const quoin_runtime* runtime, const quoin_reader* reader,
                                               const quoin_model_options* options, quoin_model** out);

QUOIN_API void quoin_model_destroy(quoin_model* model);

enum {
    QUOIN_MODEL_GRAPH = 1,      // tensors to tensors: use a session
    QUOIN_MODEL_DECODER = 2,    // generates text: use a context
    QUOIN_MODEL_ENCODER = 3,    // text to vectors (none yet; such models in ONNX files are graphs)
    QUOIN_MODEL_VOCABULARY = 4  // metadata and tokenizer only
};
QUOIN_API int32_t quoin_model_kind(const quoin_model* model);

typedef struct quoin_model_facts {
    size_t struct_size;
    const char* architecture;  // "llama", "qwen3", ...; "" where the file names none, as ONNX files; zero-terminated
    int64_t parameter_count;
    int64_t memory_bytes;  // of the weights as they lie in memory now, mapped ones included
    // The rest is for decoders, else 0.
    int64_t vocabulary_size;
    int64_t context_length;  // tokens the model was trained for
    int64_t layers;
    int64_t embedding_length;      // width of the vectors between layers
    int64_t active_weight_bytes;   // weights read to generate one token in a sequence of its own
    int64_t prompt_multiply_adds;  // of matrices, per token whose logits are not wanted
    int32_t prompt_arithmetic;     // in which most of them are done: QUOIN_DTYPE_I8, QUOIN_DTYPE_F32, QUOIN_DTYPE_BF16
                                   // (whose peak is that of f32 where there are no bf16 instructions)
    int32_t reserved;
    int64_t logits_multiply_adds;  // more of them per token whose logits are wanted: all behind the last attention
} quoin_model_facts;
QUOIN_API quoin_status quoin_model_info(const quoin_model* model, quoin_model_facts* out);

// ---- Metadata: keys and values of the file, in its order

enum {
    QUOIN_METADATA_BOOL = 1,
    QUOIN_METADATA_INTEGER = 2,   // in `integer`
    QUOIN_METADATA_UNSIGNED = 3,  // its bits in `integer`; cast to uint64_t
    QUOIN_METADATA_FLOAT = 4,     // in `number`
    QUOIN_METADATA_STRING = 5     // in `text`
};
typedef struct quoin_metadata_value {
    size_t struct_size;
    int32_t type;      // QUOIN_METADATA_*, of the elements when it is an array
    int32_t is_array;  // then `count` elements, else one
    uint64_t count;
    int64_t integer;   // also the 0 or 1 of a bool
    double number;     // for every type but a string
    const char* text;  // not zero-terminated, and not checked to be UTF-8
    size_t text_length;
} quoin_metadata_value;

QUOIN_API size_t quoin_model_metadata_count(const quoin_model* model);
QUOIN_API quoin_status quoin_model_metadata_key(const quoin_model* model, size_t index, const char** out_key,
                                                size_t* out_key_length);
QUOIN_API quoin_status quoin_model_metadata_find(const quoin_model* model, const char* key, size_t key_length,
                                                 size_t* out_index);
// `element` counts within an array and is 0 otherwise. Of an empty array, element 0 gives type and count alone.
QUOIN_API quoin_status quoin_model_metadata_value(const quoin_model* model, size_t index, uint64_t element,
                                                  quoin_metadata_value* out);

// ---- Inputs and outputs

enum {
    QUOIN_VALUE_NONE = 0,  // nothing: an optional that is left out
    QUOIN_VALUE_TENSOR = 1,
    QUOIN_VALUE_SEQUENCE = 2,  // of tensors, or of sequences or maps
    QUOIN_VALUE_MAP = 3        // from the elements of one tensor, the keys, to those of another
};
typedef struct quoin_value_info {
    size_t struct_size;
    const char* name;              // zero-terminated, like the names of dimensions
    const int64_t* dims;           // `rank` of them; -1: any size
    const char* const* dim_names;  // `rank` of them; equal names stand for equal sizes, "" for no name
    int32_t dtype;                 // of the tensor, or of the tensors in a sequence; _UNDEFINED where no one type is
    int32_t rank;                  // -1: any; then dims and dim_names are NULL
    int32_t kind;                  // QUOIN_VALUE_TENSOR, _SEQUENCE or _MAP
    int32_t optional;              // flag: it may be nothing; such an input need not be set
    int32_t has_default;           // flag: an input that need not be set, for the file has a value for it
    int32_t reserved;
} quoin_value_info;

QUOIN_API size_t quoin_model_input_count(const quoin_model* model);
QUOIN_API quoin_status quoin_model_input_info(const quoin_model* model, size_t index, quoin_value_info* out);
QUOIN_API quoin_status quoin_model_input_find(const quoin_model* model, const char* name, size_t name_length,
                                              size_t* out_index);
QUOIN_API size_t quoin_model_output_count(const quoin_model* model);
QUOIN_API quoin_status quoin_model_output_info(const quoin_model* model, size_t index, quoin_value_info* out);
QUOIN_API quoin_status quoin_model_output_find(const quoin_model* model, const char* name, size_t name_length,
                                               size_t* out_index);

// ---- Descriptions, for people and programs

enum {
    QUOIN_DESCRIBE_METADATA = 1,      // JSON: an object
    QUOIN_DESCRIBE_TENSORS = 2,       // JSON: an array of {"name", "dtype", "dims", "bytes", "kernel", ...}
    QUOIN_DESCRIBE_GRAPH_SOURCE = 3,  // the graph as the loader made it
    QUOIN_DESCRIBE_GRAPH = 4,         // the graph after optimization
    QUOIN_DESCRIBE_PLAN = 5           // the steps and their places in memory; where shapes of inputs are open, only a
                                      // session can tell: quoin_session_describe
};
enum { QUOIN_FORMAT_TEXT = 0, QUOIN_FORMAT_JSON = 1 };

typedef int32_t (*quoin_write_callback)(const char* text, size_t length, void* user_data);
// Hands the description to `write` in pieces; together they are UTF-8, and with QUOIN_FORMAT_JSON one JSON value. The
// text form may change between releases; the JSON form only grows.
QUOIN_API quoin_status quoin_model_describe(const quoin_model* model, int32_t what, int32_t format,
                                            quoin_write_callback write, void* user_data);

// ---- Quantisation: a file to a smaller one

// What happened to one tensor. Pointers are valid during the call.
typedef struct quoin_quantized_tensor {
    size_t struct_size;
    const char* name;  // not zero-terminated
    size_t name_length;
    const int64_t* dims;  // `rank` of them
    int32_t rank;
    int32_t source_dtype;
    int32_t dtype;        // as source_dtype: it was copied
    int32_t unfit_dtype;  // what the rules gave it, but its rows are no whole blocks of that; else _UNDEFINED
    uint64_t source_bytes;
    uint64_t bytes;
} quoin_quantized_tensor;
typedef int32_t (*quoin_quantized_tensor_callback)(const quoin_quantized_tensor* tensor, void* user_data);

typedef struct quoin_quantize_options {
    size_t struct_size;
    quoin_progress_callback progress;  // several times a second
    void* progress_user_data;
    quoin_quantized_tensor_callback tensor;  // once for each tensor, in the order of the file, after it is written
    void* tensor_user_data;
    int32_t mmap_mode;  // QUOIN_MMAP_*
    int32_t reserved;
} quoin_quantize_options;

typedef struct quoin_quantize_facts {
    size_t struct_size;
    uint64_t source_bytes;  // of the files
    uint64_t output_bytes;
    int64_t tensors;
    int64_t converted;  // the others were copied
    int64_t unfit;      // see quoin_quantized_tensor
} quoin_quantize_facts;

// Reads the GGUF file `path`, whose weights are f32, f16 or bf16, and writes `output` with weights in `type`: "q4_0",
// "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q2_k_s", "q3_k_s", "q3_k_m", "q3_k_l", "q4_k_s", "q4_k_m", "q5_k_s",
// "q5_k_m", "q6_k", "iq4_nl", "iq4_xs", "mxfp4", "mxfp4_moe", "tq1_0", "tq2_0", "bf16", "f16", "f32", in any case. As
// these names mean elsewhere, each stands for a mixture: some tensors get more bits, norms and biases stay as they are.
// Metadata is copied. Works in pieces: memory stays at some tens of megabytes beside the mapped file. The result does
// not depend on threads or instruction set. The output appears, replacing a file of that name, when all is written;
// after a failure there is nothing. (A process that is killed leaves quoin.partial-... beside it where the system
// cannot write files without a name.) `out` may be NULL. QUOIN_ERROR_INVALID_ARGUMENT: no such type, or input and
// output are the same file. QUOIN_ERROR_INVALID_MODEL: weights are NaN or infinite, too. QUOIN_ERROR_UNSUPPORTED:
// weights are quantised already, or the file is a part of a model.
QUOIN_API quoin_status quoin_model_quantize_file(const quoin_runtime* runtime, const char* path, size_t path_length,
                                                 const char* type, size_t type_length, const char* output,
                                                 size_t output_length, const quoin_quantize_options* options,
                                                 quoin_quantize_facts* out);

// ---------------------------------------------------------------------------------------------------------------------
// Tensor: an array of numbers, rows last (C order)
// ---------------------------------------------------------------------------------------------------------------------

typedef struct quoin_tensor quoin_tensor;

// Memory of its own, zeroed and aligned to 64 bytes, of no runtime's budget. `rank` is 0, a single value, to 12; `dims`
// are >= 0.
QUOIN_API quoin_status quoin_tensor_create(int32_t dtype, int32_t rank, const int64_t* dims, quoin_tensor** out);
// The caller's memory, aligned as its elements are (8 bytes at most), which must stay as long as the tensor or a
// session that holds it is in use. `bytes` must be exactly what dtype and dims need; elements of 4 and 2 bits share a
// byte, the first in its lowest bits. The library writes only to tensors that are bound as outputs.
QUOIN_API quoin_status quoin_tensor_wrap(void* data, size_t bytes, int32_t dtype, int32_t rank, const int64_t* dims,
                                         quoin_tensor** out);
QUOIN_API void quoin_tensor_destroy(quoin_tensor* tensor);

// A tensor of strings, QUOIN_DTYPE_STRING: copies of as many texts as `dims` have elements. `lengths` NULL: all are
// zero-terminated; else each is a length or QUOIN_STRLEN. Bytes are kept as they are; models expect UTF-8.
QUOIN_API quoin_status quoin_tensor_create_strings(int32_t rank, const int64_t* dims, const char* const* texts,
                                                   const size_t* lengths, quoin_tensor** out);
// An element of such a tensor, rows last. Borrowed as long as the tensor, not zero-terminated.
QUOIN_API quoin_status quoin_tensor_string(const quoin_tensor* tensor, size_t index, const char** out_text,
                                           size_t* out_length);

// Pointers are valid as long as the tensor. A tensor of strings has no data that could be seen: NULL and 0 bytes.
QUOIN_API int32_t quoin_tensor_dtype(const quoin_tensor* tensor);
QUOIN_API int32_t quoin_tensor_rank(const quoin_tensor* tensor);
QUOIN_API const int64_t* quoin_tensor_dims(const quoin_tensor* tensor);
QUOIN_API size_t quoin_tensor_byte_size(const quoin_tensor* tensor);
QUOIN_API void* quoin_tensor_data(quoin_tensor* tensor);
QUOIN_API const void* quoin_tensor_data_const(const quoin_tensor* tensor);

// ---- Value: what a session takes and gives that is no plain tensor. A value is a tree of tensors and never changes.

typedef struct quoin_value quoin_value;

// The sequence of these tensors, in their order; each is held as quoin_session_set_input holds one. `dtype` is that of
// all of them and tells an empty sequence apart from others.
QUOIN_API quoin_status quoin_value_create_sequence(int32_t dtype, const quoin_tensor* const* tensors, size_t count,
                                                   quoin_value** out);
QUOIN_API void quoin_value_destroy(quoin_value* value);

QUOIN_API int32_t quoin_value_kind(const quoin_value* value);  // QUOIN_VALUE_*
// Items of a sequence; 2 of a map: its keys and its values; else 0.
QUOIN_API size_t quoin_value_count(const quoin_value* value);
// An item, or the tensor of a value that is one (else NULL). Borrowed as long as the value.
QUOIN_API quoin_status quoin_value_item(const quoin_value* value, size_t index, const quoin_value** out);
QUOIN_API const quoin_tensor* quoin_value_tensor(const quoin_value* value);

// ---------------------------------------------------------------------------------------------------------------------
// Session: tensors in, tensors out. Cheap; a thread that runs a model wants one of its own. Sessions and contexts of
// one runtime take turns on its threads; runs that shall not wait for each other need a runtime each, with fewer
// threads and the model loaded anew. Inputs and outputs have the indices of quoin_model_input_info and
// quoin_model_output_info; quoin_model_input_find and quoin_model_output_find know their names. A decoder runs this
// way, too: input 0 is "tokens", i32 [tokens], output 0 is "logits", f32 [tokens, vocabulary], and every run starts a
// new text. To generate, use a context.
// ---------------------------------------------------------------------------------------------------------------------

typedef struct quoin_session quoin_session;

typedef struct quoin_session_options {
    size_t struct_size;
} quoin_session_options;

QUOIN_API quoin_status quoin_session_create(const quoin_model* model, const quoin_session_options* options,
                                            quoin_session** out);
// From now on runs read this tensor, without a copy: its values may change between runs, its handle may be destroyed.
// Dims that the model leaves open may differ from run to run; sizes that were seen before cost no planning.
QUOIN_API quoin_status quoin_session_set_input(quoin_session* session, size_t index, const quoin_tensor* tensor);
// The same for any kind of input. NULL leaves an optional one out, which it also is before it is set, and gives one
// with a default value that.
QUOIN_API quoin_status quoin_session_set_input_value(quoin_session* session, size_t index, const quoin_value* value);
// Later runs write this output there, without a copy; its dims must then be those of the result, else the run gives
// QUOIN_ERROR_INVALID_ARGUMENT. Its handle may be destroyed. NULL unbinds. Not for strings, and not memory that an
// input of the same run reads: a state that goes from run to run takes two tensors in turn (examples/audio).
QUOIN_API quoin_status quoin_session_bind_output(quoin_session* session, size_t index, quoin_tensor* tensor);
// Every input that is neither optional nor has a default value must be set. Blocks until the outputs are there.
QUOIN_API quoin_status quoin_session_run(quoin_session* session);
// From any thread, also while quoin_session_run is at work, which then soon returns QUOIN_CANCELLED. Nothing happens
// when it is not.
QUOIN_API void quoin_session_cancel(const quoin_session* session);
// The result of the last run, or the tensor that was bound. Borrowed until the next run, bind_output or destroy. What
// was not bound lies in the session's memory: until then another session may read it as an input, this one may not.
// QUOIN_ERROR_UNSUPPORTED: it is no tensor. QUOIN_ERROR_INVALID_STATE: the last run failed, or there was none.
QUOIN_API quoin_status quoin_session_output(const quoin_session* session, size_t index, const quoin_tensor** out);
// The same for any kind of output. `*out` may be a value of the kind QUOIN_VALUE_NONE.
QUOIN_API quoin_status quoin_session_output_value(const quoin_session* session, size_t index, const quoin_value** out);
QUOIN_API void quoin_session_destroy(quoin_session* session);

// As quoin_model_describe, for the shapes of the inputs that are set. `what` is QUOIN_DESCRIBE_PLAN.
QUOIN_API quoin_status quoin_session_describe(const quoin_session* session, int32_t what, int32_t format,
                                              quoin_write_callback write, void* user_data);

// ---- Profile: when each node of the graph ran, on which thread

// Later runs are written down, some hundred thousand nodes per thread; what was before is forgotten.
QUOIN_API quoin_status quoin_session_profile_start(quoin_session* session);
QUOIN_API quoin_status quoin_session_profile_stop(quoin_session* session);
// JSON in the trace event format that Chrome (chrome://tracing) and Perfetto show: for each thread, node and run the
// node's name, its op ("cat"), kernel, start and duration in microseconds. QUOIN_ERROR_INVALID_STATE: never started.
QUOIN_API quoin_status quoin_session_profile_write(const quoin_session* session, quoin_write_callback write,
                                                   void* user_data);

// ---------------------------------------------------------------------------------------------------------------------
// Tokenizer: text to token ids and back, part of a model
// ---------------------------------------------------------------------------------------------------------------------

typedef struct quoin_tokenizer quoin_tokenizer;

// Borrowed until quoin_model_destroy; NULL when the model has none.
QUOIN_API const quoin_tokenizer* quoin_model_tokenizer(const quoin_model* model);

enum {
    QUOIN_ENCODE_BOS = 1,      // add what the model's file says belongs around a text: begin, and for some models end
    QUOIN_ENCODE_SPECIAL = 2,  // "<|im_end|>" in the text becomes that token; only for text that you trust
    QUOIN_ENCODE_CONTINUE = 4  // the text goes on from an earlier one: no space is put before its first word, as
                               // SentencePiece models else do
};
// Any bytes are accepted, also what is not UTF-8; at most 512 MiB.
QUOIN_API quoin_status quoin_tokenizer_encode(const quoin_tokenizer* tokenizer, const char* text, size_t text_length,
                                              int32_t flags, int32_t* ids, size_t capacity, size_t* out_count);

enum {
    QUOIN_DECODE_SPECIAL = 1,  // write control tokens by name; without it they give no text
    QUOIN_DECODE_CONTINUE = 2  // the ids continue a text: keep the space that the first of them may begin with
};
QUOIN_API quoin_status quoin_tokenizer_decode(const quoin_tokenizer* tokenizer, const int32_t* ids, size_t count,
                                              int32_t flags, char* text, size_t capacity, size_t* out_length);

QUOIN_API int32_t quoin_tokenizer_vocabulary_size(const quoin_tokenizer* tokenizer);
// How the vocabulary spells a token. Borrowed, valid as long as the model, not zero-terminated.
QUOIN_API quoin_status quoin_tokenizer_token_text(const quoin_tokenizer* tokenizer, int32_t id, const char** out_text,
                                                  size_t* out_length);

enum {
    QUOIN_TOKEN_BEGIN = 1,     // of a text
    QUOIN_TOKEN_END = 2,       // of a text
    QUOIN_TOKEN_END_TURN = 3,  // of a chat message
    QUOIN_TOKEN_UNKNOWN = 4,
    QUOIN_TOKEN_PADDING = 5
};
// The id of a role, -1 when the model has none.
QUOIN_API int32_t quoin_tokenizer_special(const quoin_tokenizer* tokenizer, int32_t role);
// 1 when generation ends with this token (a model may have several), else 0.
QUOIN_API int32_t quoin_tokenizer_is_end(const quoin_tokenizer* tokenizer, int32_t id);

// ---------------------------------------------------------------------------------------------------------------------
// Context: the memory of texts in work (KV pages) and the scheduler that computes them together
// ---------------------------------------------------------------------------------------------------------------------

typedef struct quoin_context quoin_context;

typedef struct quoin_context_options {
    size_t struct_size;
    int64_t kv_tokens;        // room for this many tokens, shared by all sequences, in whole pages of 32, at most 2^30;
                              // 0: what the model was trained for, at most 4096
    int32_t kv_dtype;         // how keys and values are kept: QUOIN_DTYPE_F32, _F16, _BF16, and where heads have a
                              // multiple of 32 values _Q8_0 or _Q4_0; 0: f16 for quantised models, else f32
    int32_t max_sequences;    // at a time, at most 65,536; 0: 64
    int32_t max_step_tokens;  // computed together in one step, at most 65,536; longer prompts take several; 0: 512
    int32_t reserved;
} quoin_context_options;

// For decoders. Takes the memory of the KV pages now, that of intermediate results with the first steps.
QUOIN_API quoin_status quoin_context_create(const quoin_model* model, const quoin_context_options* options,
                                            quoin_context** out);
QUOIN_API void quoin_context_destroy(quoin_context* context);

typedef struct quoin_metrics {
    size_t struct_size;
    int64_t steps;         // since creation, like the next three
    int64_t shared_steps;  // steps that computed tokens of more than one sequence
    int64_t tokens;        // computed in all steps
    double step_seconds;   // spent in them
    int64_t sequences;     // now, like the rest
    int64_t pages_total;
    int64_t pages_used;          // a page that several sequences share counts once
    int64_t page_tokens;         // tokens per page
    int64_t kv_bytes_per_token;  // read again for every later token of the sequence
    int64_t memory_bytes;        // KV pages and arena
} quoin_metrics;
// A snapshot, also while sequences are at work.
QUOIN_API quoin_status quoin_context_metrics(const quoin_context* context, quoin_metrics* out);

// ---------------------------------------------------------------------------------------------------------------------
// Sequence: one text. Each sequence belongs to one thread at a time; any number of them, each on a thread of its own,
// work in one context, and the context computes what they ask for in common steps. The result of a sequence does not
// depend on the others, nor on the number of threads.
// ---------------------------------------------------------------------------------------------------------------------

typedef struct quoin_sequence quoin_sequence;

typedef struct quoin_sequence_options {
    size_t struct_size;
} quoin_sequence_options;

QUOIN_API quoin_status quoin_sequence_create(const quoin_context* context, const quoin_sequence_options* options,
                                             quoin_sequence** out);
// Not while it is at work: cancel, wait for the call to return, then destroy.
QUOIN_API void quoin_sequence_destroy(quoin_sequence* sequence);

// Appending only takes note; the tokens are computed by the next evaluate or generate.
QUOIN_API quoin_status quoin_sequence_append_tokens(quoin_sequence* sequence, const int32_t* ids, size_t count);
// Encodes with quoin_tokenizer_encode. An empty sequence first gets the begin token if the model wants one, whatever
// the flags: they may hold QUOIN_ENCODE_SPECIAL and QUOIN_ENCODE_CONTINUE. Nothing is added at the end. Each call is
// encoded for itself: tokens never join over the border between two, so append a whole message at once.
QUOIN_API quoin_status quoin_sequence_append_text(quoin_sequence* sequence, const char* text, size_t text_length,
                                                  int32_t flags);

// Tokens in the sequence: appended and generated, computed or not.
QUOIN_API size_t quoin_sequence_length(const quoin_sequence* sequence);
QUOIN_API quoin_status quoin_sequence_tokens(const quoin_sequence* sequence, int32_t* ids, size_t capacity,
                                             size_t* out_count);
// A new sequence with the same tokens. What is computed is shared until one of the two goes another way.
QUOIN_API quoin_status quoin_sequence_fork(const quoin_sequence* sequence, quoin_sequence** out);
// Forgets everything after the first `length` tokens, which must not be more than there are.
QUOIN_API quoin_status quoin_sequence_trim(quoin_sequence* sequence, size_t length);

// Computes what is not yet computed and gives the logits of the last `rows` tokens: row after row, in each one float
// per token of the vocabulary, for the token that follows. `rows` must not be more than the length; rows that were
// computed before cost their computation again. 0 rows only computes, as for a common beginning before it is forked.
// `capacity` and `*out_count` are in floats; a NULL buffer only asks for the count, and nothing is computed unless
// `rows` is 0. After QUOIN_CANCELLED or QUOIN_ERROR_CONTEXT_FULL the tokens are as before; the call may be repeated. A
// failure may leave a part of the logits written.
QUOIN_API quoin_status quoin_sequence_evaluate(quoin_sequence* sequence, size_t rows, float* logits, size_t capacity,
                                               size_t* out_count);

// ---- Sampler: how the next token is chosen

typedef struct quoin_sampler quoin_sampler;

// All zero is greedy: always the most likely token. The steps are taken in the order of the fields.
typedef struct quoin_sampler_options {
    size_t struct_size;
    float
        repetition_penalty;   // > 0: logits of tokens seen are divided by it (multiplied where negative); 0 and 1: none
    float frequency_penalty;  // subtracted for each time a token was seen
    float presence_penalty;   // subtracted once from each token that was seen
    int32_t penalty_window;   // tokens at the end of the sequence that count as seen; 0: 64; -1: the last 1,048,576
    int32_t top_k;            // keep the k most likely; 0: all
    float top_p;              // 0 to 1: then the fewest that together have this probability; 0 and 1: all
    float min_p;              // 0 to 1: then those at least this fraction as likely as the first; 0: all
    float temperature;        // >= 0: then logits are divided by it and one is drawn; 0: the most likely is taken
    uint64_t seed;            // the same seed draws the same; 0 is a seed like any other
} quoin_sampler_options;

// Between two calls of generate only the state of the random numbers goes on; what was seen is read from the sequence.
QUOIN_API quoin_status quoin_sampler_create(const quoin_sampler_options* options, quoin_sampler** out);
QUOIN_API void quoin_sampler_reset(quoin_sampler* sampler);  // to the state after creation
QUOIN_API void quoin_sampler_destroy(quoin_sampler* sampler);

// ---- Generate

typedef struct quoin_generate_options {
    size_t struct_size;
    int64_t max_tokens;  // 0: until the model ends the text or the context is full
    int32_t ignore_end;  // flag: go on after the model's end token, which then counts as an ordinary token
    int32_t reserved;
} quoin_generate_options;

// What the callback gets, once per token. Valid during the call.
typedef struct quoin_piece {
    size_t struct_size;
    const char* text;  // whole UTF-8 characters, never NULL; empty while one is not complete
    size_t text_length;
    int32_t token;  // -1 in the one call that may follow the last token with what was left incomplete, as U+FFFD
    int32_t reserved;
} quoin_piece;
typedef int32_t (*quoin_piece_callback)(const quoin_piece* piece, void* user_data);

enum {
    QUOIN_FINISH_END = 1,       // the model ended the text
    QUOIN_FINISH_LENGTH = 2,    // max_tokens were generated
    QUOIN_FINISH_CONTEXT = 3,   // the context is full; what was generated is in the sequence. Where it was full before,
                                // nothing is computed
    QUOIN_FINISH_CANCELLED = 4  // by the callback or quoin_sequence_cancel
};
typedef struct quoin_result {
    size_t struct_size;
    int32_t finish;         // QUOIN_FINISH_*
    int32_t end_token;      // the one that ended the text, which is neither in the sequence nor in a piece; else -1
    int64_t prompt_tokens;  // that were computed first
    int64_t generated_tokens;
    double prompt_seconds;    // until the first token was there, waiting for other sequences included
    double generate_seconds;  // from then on, for generated_tokens - 1
} quoin_result;

// Computes what was appended and continues the text. Blocks its caller only. The sampler may be NULL (greedy), and so
// may the callback and `out`. The generated tokens are appended to the sequence, so that appending and generating may
// go on. The sequence must not be empty.
// QUOIN_CANCELLED: `*out` is filled in this case, too. After any failure the sequence holds all tokens that reached the
// callback, and nothing else new. QUOIN_ERROR_CONTEXT_FULL: the prompt does not fit. QUOIN_ERROR_INVALID_MODEL: the
// model computed logits that are no numbers.
QUOIN_API quoin_status quoin_sequence_generate(quoin_sequence* sequence, quoin_sampler* sampler,
                                               const quoin_generate_options* options, quoin_piece_callback callback,
                                               void* user_data, quoin_result* out);
// From any thread, also while the sequence is at work: evaluate or generate then returns QUOIN_CANCELLED within one
// step. Nothing happens when it is not at work. May be called from a callback.
QUOIN_API void quoin_sequence_cancel(const quoin_sequence* sequence);

#ifdef __cplusplus
}
#endif

#endif
