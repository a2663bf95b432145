"""The frozen models, real or embedded, and the scorers' backbones."""
