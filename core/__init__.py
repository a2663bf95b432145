"""What every branch shares: data, frozen models, the conditioning contract, training, sampling.

`core` imports neither `variants` nor `harness`.
"""
