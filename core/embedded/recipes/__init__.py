"""How the embedded models are trained: one module a model, and the command that builds all."""
