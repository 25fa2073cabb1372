// Every ONNX file of the shared folder gives the outputs that ONNX Runtime gave for it.
#include "models/real_model.h"
#include "support/catch.h"

using quoin::test::check_references;
using quoin::test::kOneStep;

TEST_CASE("digits: exports of four frameworks", "[models]") {
    for (const char* name : {"mnist-8", "mnist_burn", "mnist_original_ort", "mnist_rten"}) {
        check_references("vision-mnist", name);
    }
}

TEST_CASE("faces: anchors and scores", "[models]") {
    for (const char* name : {"version-RFB-320", "version-RFB-320_simplified", "version-slim-320"}) {
        check_references("vision-ultraface", name);
    }
}

TEST_CASE("faces at 640x480", "[models]") {
    check_references("vision-ultraface", "version-RFB-640");
}

TEST_CASE("objects of COCO", "[models]") {
    // Sums in another order move single elements: ONNX Runtime with and without its fusions differs from itself by
    // 1.6e-4 where this model's values are up to 3.6.
    check_references("vision-yolox-nano", "yolox_nano", {.outliers = 1e-5, .farthest = 2});
}

TEST_CASE("super-resolution", "[models]") {
    check_references("vision-superres", "super_resolution");
}

TEST_CASE("text detection", "[models]") {
    check_references("vision-ppocr-det", "ch_PP-OCRv3_det_infer");
}

TEST_CASE("quantised shufflenet: QLinear operators", "[models]") {
    check_references("vision-shufflenet-int8", "shufflenet-v2-12-int8", kOneStep, true);
}

TEST_CASE("quantised mobilenet: QuantizeLinear and DequantizeLinear around everything", "[models]") {
    // The reference multiplied the dequantised floats. Products of integers round elsewhere, and 52 layers carry it on:
    // ONNX Runtime's own integer kernels are more than one step from it in 117 of 1000 classes, at most 4.
    check_references("vision-mobilenetv2-int8", "mobilenet_v2_int8_A", {0, 1.001, 0.15, 5}, true);
}

TEST_CASE("file types", "[models]") {
    check_references("cls-magika", "model");
}

TEST_CASE("sentence boundaries: a bidirectional LSTM over bytes", "[models]") {
    check_references("text-byte-lstm", "model");
}

TEST_CASE("speech activity: three exports", "[models]") {
    for (const char* name : {"silero_vad", "silero_vad_16k_op15", "silero_vad_op18_ifless"}) {
        check_references("audio-silero-vad", name);
    }
}

TEST_CASE("speech activity in half precision", "[models]") {
    check_references("audio-silero-vad", "silero_vad_half");
}

TEST_CASE("speech enhancement", "[models]") {
    for (const char* name : {"gtcrn", "gtcrn_simple"}) check_references("audio-gtcrn", name);
}

TEST_CASE("pitch", "[models]") {
    check_references("audio-basic-pitch", "nmp");
}
