"""A bidirectional Mamba encoder of log-mel spectrograms, pretrained elsewhere or by us."""
