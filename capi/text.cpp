#include "handles.h"
#include "support.h"

using namespace quoin;
using namespace quoin::capi;

quoin_status quoin_tokenizer_encode(const quoin_tokenizer* tokenizer, const char* text, size_t text_length,
                                    int32_t flags, int32_t* ids, size_t capacity, size_t* out_count) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(tokenizer, "tokenizer"));
        std::string_view read;
        QUOIN_RETURN_IF_ERROR(read_text(text, text_length, "text", read));
        QUOIN_ASSIGN_OR_RETURN(const EncodeOptions options, encode_options(flags));
        QUOIN_ASSIGN_OR_RETURN(const std::vector<int32_t> encoded, tokenizer->tokenizer->encode(read, options));
        return write_array(encoded.data(), encoded.size(), ids, capacity, out_count);
    });
}

quoin_status quoin_tokenizer_decode(const quoin_tokenizer* tokenizer, const int32_t* ids, size_t count, int32_t flags,
                                    char* text, size_t capacity, size_t* out_length) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require(tokenizer, "tokenizer"));
        if (ids == nullptr && count != 0) return error(StatusCode::InvalidArgument, "ids is NULL");
        if ((flags & ~(QUOIN_DECODE_SPECIAL | QUOIN_DECODE_CONTINUE)) != 0) {
            return error(StatusCode::InvalidArgument, "flags has bits that are none of QUOIN_DECODE_*");
        }
        const DecodeOptions options{.render_special = (flags & QUOIN_DECODE_SPECIAL) != 0,
                                    .keep_leading_space = (flags & QUOIN_DECODE_CONTINUE) != 0};
        QUOIN_ASSIGN_OR_RETURN(const std::string decoded, tokenizer->tokenizer->decode({ids, count}, options));
        return write_array(decoded.data(), decoded.size(), text, capacity, out_length);
    });
}

int32_t quoin_tokenizer_vocabulary_size(const quoin_tokenizer* tokenizer) {
    return tokenizer == nullptr ? 0 : tokenizer->tokenizer->vocabulary_size();
}

quoin_status quoin_tokenizer_token_text(const quoin_tokenizer* tokenizer, int32_t id, const char** out_text,
                                        size_t* out_length) {
    return guard([&]() -> Status {
        QUOIN_RETURN_IF_ERROR(require_all("quoin_tokenizer_token_text", tokenizer, out_text, out_length));
        QUOIN_ASSIGN_OR_RETURN(const std::string_view text, tokenizer->tokenizer->token_text(id));
        *out_text = text.data();
        *out_length = text.size();
        return {};
    });
}

int32_t quoin_tokenizer_special(const quoin_tokenizer* tokenizer, int32_t role) {
    if (tokenizer == nullptr) return -1;
    const Tokenizer& used = *tokenizer->tokenizer;
    switch (role) {
        case QUOIN_TOKEN_BEGIN: return used.bos_id();
        case QUOIN_TOKEN_END: return used.eos_id();
        case QUOIN_TOKEN_END_TURN: return used.eot_id();
        case QUOIN_TOKEN_UNKNOWN: return used.unknown_id();
        case QUOIN_TOKEN_PADDING: return used.padding_id();
        default: return -1;
    }
}

int32_t quoin_tokenizer_is_end(const quoin_tokenizer* tokenizer, int32_t id) {
    return tokenizer != nullptr && tokenizer->tokenizer->is_end(id) ? 1 : 0;
}
