// How operators of older versions become the newest: one small function for each change of meaning.
#pragma once

#include "load/onnx_node.h"

namespace quoin::onnx {

// Attributes that became inputs and other small changes are in onnx_upgrade.cpp, beside the table of all; these need
// other nodes (onnx_upgrade_nodes.cpp).

Status flatten_softmax(NodeDraft& draft);       // softmax family before 13: of all dims from `axis` on at once
Status broadcast_from_axis(NodeDraft& draft);   // binary operators before 7: `axis` says where B begins in A
Status slope_by_channel(NodeDraft& draft);      // PRelu before 7
Status affine_normalization(NodeDraft& draft);  // BatchNormalization before 9 with statistics of each element
Status upsample(NodeDraft& draft);              // Upsample: a kind of Resize
Status tile_one_axis(NodeDraft& draft);         // Tile before 6
Status expand_group_scale(NodeDraft& draft);    // GroupNormalization 18: scale and bias of groups, not channels
Status scan_batches(NodeDraft& draft);          // Scan 8
Status encode_labels(NodeDraft& draft);         // LabelEncoder 1 of ai.onnx.ml

}  // namespace quoin::onnx
