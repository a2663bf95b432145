"""What a comparison may claim: paired tests over training seeds and clips, intervals, verdicts.

Two samples stand behind every number: the trainings that were made, and the clips that were scored.
Images of one trained model are no evidence about other trainings of its branch, and many trainings
are none about other clips.
"""
