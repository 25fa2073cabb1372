// One or two quantised tensors brought to the scale of a result.

namespace quoin {
namespace {

QUOIN_INLINE void add_quantized_some(const AddQuantizedArgs& args, int64_t i, int64_t n) {
    Floats sum = broadcast(args.offset);
    sum = fma(to_floats(load_bytes_first(args.a + i, n, args.a_signed)), broadcast(args.a_scale), sum);
    if (args.b != nullptr) {
        sum = fma(to_floats(load_bytes_first(args.b + i, n, args.b_signed)), broadcast(args.b_scale), sum);
    }
    const int shift = args.dst_signed ? 0 : 128;
    const Floats low = broadcast(static_cast<float>(args.lowest));
    const Floats high = broadcast(static_cast<float>(args.highest));
    const Ints rounded = round_to_ints(minimum(high, maximum(low, sum)));
    store_bytes_first(args.dst + i, subtract_ints(rounded, broadcast_int(shift)), n, args.dst_signed ? 0 : 128);
}

void add_quantized(const AddQuantizedArgs& args) {
    int64_t i = 0;
    for (; i + kLanes <= args.count; i += kLanes) add_quantized_some(args, i, kLanes);
    if (i < args.count) add_quantized_some(args, i, args.count - i);
}

}  // namespace
}  // namespace quoin
