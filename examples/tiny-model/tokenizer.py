"""SentencePiece-style BPE with byte fallback: training and encoding."""

import re
from collections import Counter

SPACE = "\u2581"
UNK, BOS, EOS, FIRST_BYTE, FIRST_PIECE = 0, 1, 2, 3, 259
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # GGUF token types


class Tokenizer:
    def __init__(self, pieces):
        """pieces: normal pieces, the ones to merge first in front."""
        self.tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + list(pieces)
        self.scores = [0.0] * FIRST_PIECE + [-float(rank) for rank in range(len(pieces))]
        self.types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(pieces)
        self.ids = {piece: FIRST_PIECE + i for i, piece in enumerate(pieces)}
        self._cache = {}

    def _merge(self, text):
        """Joins the neighbours whose union has the best score (leftmost
        first), until no union is a piece; what is left goes to bytes."""
        parts = list(text)
        while True:
            best, at = None, -1
            for i in range(len(parts) - 1):
                found = self.ids.get(parts[i] + parts[i + 1])
                if found is not None and (best is None or self.scores[found] > self.scores[best]):
                    best, at = found, i
            if best is None:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        ids = []
        for part in parts:
            if part in self.ids:
                ids.append(self.ids[part])
            else:
                ids.extend(FIRST_BYTE + b for b in part.encode())
        return ids

    def encode(self, text, bos=True, cache=False):
        """Token ids. With cache, words are encoded one by one and remembered;
        the result is the same, as no piece has a space inside."""
        ids = [BOS] if bos else []
        if not text:
            return ids
        text = SPACE + text.replace(" ", SPACE)
        if not cache:
            return ids + self._merge(text)
        for word in re.findall(f"{SPACE}?[^{SPACE}]*", text):
            if word not in self._cache:
                self._cache[word] = self._merge(word)
            ids.extend(self._cache[word])
        return ids

    def decode(self, ids):
        data = b""
        for i in ids:
            if self.types[i] == BYTE:
                data += bytes([i - FIRST_BYTE])
            elif self.types[i] == NORMAL:
                data += self.tokens[i].replace(SPACE, " ").encode()
        text = data.decode(errors="replace")
        return text[1:] if text.startswith(" ") else text


def train(texts, vocab_size):
    """Learns merges from the texts. Words and punctuation never share a piece."""
    counts = Counter()
    for text in texts:
        text = SPACE + text.replace(" ", SPACE)
        counts.update(re.findall(f"{SPACE}?[A-Za-z]+|{SPACE}?[^A-Za-z{SPACE}]|{SPACE}", text))
    words = [(list(word), count) for word, count in sorted(counts.items())]
    letters = [SPACE] + [chr(c) for c in range(33, 127)]
    wanted = vocab_size - FIRST_PIECE - len(letters)

    merges = []
    while True:
        pairs = Counter()
        for parts, count in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += count
        (left, right), _count = max(pairs.items(), key=lambda item: (item[1], item[0]))
        if left + right not in merges:
            merges.append(left + right)
        for parts, _count in words:
            i = 0
            while i < len(parts) - 1:
                if parts[i] == left and parts[i + 1] == right:
                    parts[i:i + 2] = [left + right]
                i += 1
        if len(merges) >= wanted:
            # A piece that its own text does not encode to could never appear.
            tokenizer = Tokenizer(merges + letters)
            lost = [m for m in merges if len(tokenizer._merge(m)) != 1]
            merges = [m for m in merges if m not in lost]
            if len(merges) >= wanted:
                return Tokenizer(merges[:wanted] + letters)
