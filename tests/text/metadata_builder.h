// Metadata made in memory, for small vocabularies.
#pragma once

#include <deque>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/metadata.h"

namespace quoin::test {

class MetadataBuilder {
public:
    MetadataBuilder& set(std::string_view key, MetadataValue value) {
        std::erase_if(entries_, [&](const auto& entry) { return entry.first == key; });
        entries_.emplace_back(keep(std::string(key)), std::move(value));
        return *this;
    }
    MetadataBuilder& text(std::string_view key, std::string_view value) { return set(key, keep(std::string(value))); }
    MetadataBuilder& texts(std::string_view key, const std::vector<std::string>& values) {
        std::vector<std::string_view> views;
        for (const std::string& value : values) views.push_back(keep(value));
        return set(key, std::move(views));
    }
    MetadataBuilder& remove(std::string_view key) {
        std::erase_if(entries_, [&](const auto& entry) { return entry.first == key; });
        return *this;
    }
    Metadata build() const {
        Metadata metadata("test.gguf", strings_);
        for (const auto& [key, value] : entries_) metadata.add(key, value);
        return metadata;
    }

private:
    std::string_view keep(std::string value) { return strings_->emplace_back(std::move(value)); }

    std::shared_ptr<std::deque<std::string>> strings_ = std::make_shared<std::deque<std::string>>();
    std::vector<std::pair<std::string_view, MetadataValue>> entries_;
};

// The 256 byte tokens of a byte-level vocabulary, in the order of the bytes, written as GPT-2 writes them.
std::vector<std::string> byte_level_tokens();

// A byte-level vocabulary: the 256 bytes, then what each merge makes, then `control` tokens.
MetadataBuilder byte_level_vocabulary(std::string_view pre, const std::vector<std::string>& merges,
                                      const std::vector<std::string>& control = {});

// A SentencePiece vocabulary: <unk>, <s>, </s>, the 256 byte tokens (ids 3 to 258), then `pieces` with their scores.
MetadataBuilder sentence_piece_vocabulary(std::initializer_list<std::pair<std::string_view, double>> pieces);

}  // namespace quoin::test
