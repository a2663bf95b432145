"""What a comparison may claim: paired tests over training seeds, intervals, verdicts.

The unit of replication is the training seed. Images of one trained model are not independent
evidence about its branch: a test over images calls winners between equal branches.
"""
