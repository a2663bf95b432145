"""One file looked into: decoding, headers, quality, likeness to another."""
